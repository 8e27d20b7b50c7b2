"""Reading images: folders, decoding, transforms, loaders, the built-in data, the audit of a folder."""

"""How does a demo get https without a certificate? With one that it signs itself, for this machine's addresses."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rapidnet.errors import UserError

DAYS = 7


def write_certificate(folder: Path, names: Sequence[str]) -> tuple[Path, Path]:
    """The PEM files of a new certificate for these addresses or host names, and of its key; both for a week.

    Raises:
        UserError: the package that makes certificates is not installed.
    """
    try:
        import trustme
    except ImportError:
        raise UserError("--https needs trustme; install it with pip install 'rapidnet[serve]'") from None
    authority = trustme.CA(organization_name="rapidnet demo")
    issued = authority.issue_cert(*names, not_after=datetime.now(UTC) + timedelta(days=DAYS))
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    key.touch(mode=0o600)
    issued.private_key_pem.write_to_path(key)
    for blob in issued.cert_chain_pems:
        blob.write_to_path(certificate, append=True)
    return certificate, key

"""How is a table written in Markdown? Its first column to the left, numbers to the right."""


def table(headings: list[str], rows: list[list[str]]) -> str:
    lines = [headings, ["---" if i == 0 else "---:" for i in range(len(headings))], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)

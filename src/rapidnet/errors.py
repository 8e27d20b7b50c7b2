"""Which errors can a user cause? They end in one sentence and exit code 2, without a traceback."""


class UserError(Exception):
    """Something the user can put right. The message is one sentence: what was wrong, where, and what to do."""


def nearest(name: str, known: list[str]) -> str:
    """' (did you mean X?)' for the known name nearest to `name`, or the empty string if none is near."""
    from difflib import get_close_matches

    found = get_close_matches(name, known, n=1, cutoff=0.5)
    return f" (did you mean '{found[0]}'?)" if found else ""

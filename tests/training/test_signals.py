"""Does a signal become a request, and does a study hear of one that its run had no use for?"""

import signal

import pytest

from rapidnet.training.signals import listen


def test_a_stop_within_a_run_is_the_study_s_too_and_a_save_is_not() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with listen() as study:
        with listen() as run:
            signal.raise_signal(signal.SIGUSR1)
        assert run.save and not study.save and not study.stop
        with listen() as run:
            signal.raise_signal(signal.SIGTERM)
            assert run.stop == signal.SIGTERM and not study.stop
        assert study.stop == signal.SIGTERM
        with listen() as later:
            pass
        assert not later.stop and study.stop == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_second_interrupt_ends_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), listen() as requests:  # noqa: PT012  the first one must not
        signal.raise_signal(signal.SIGINT)
        assert requests.stop == signal.SIGINT
        signal.raise_signal(signal.SIGINT)

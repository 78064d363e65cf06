"""Judge an answer: solved, a known mistake, or not solved yet and why."""

import ast
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from types import CodeType
from typing import Any

from utilities.exercises.expect import kind
from utilities.exercises.sources import Exercise

LIMIT_S = 10.0
SHOWN = 200  # characters of what an answer says of itself


@dataclass(frozen=True)
class Verdict:
    """What a check has found.

    Attributes:
        state: `solved`; `mistake`, a known one; `unsolved`, anything else that is wrong; `untouched`, still the stub.
        message: A sentence or two, Markdown.
        mistake: The name of the known mistake.
    """

    state: str
    message: str
    mistake: str | None = None


class OutOfTimeError(BaseException):
    """The time is up; no `except Exception` of the answer holds it."""


class AnswerError(Exception):
    """The answer itself, called, did not give a value to look at."""


def judge(exercise: Exercise, answer: Any, limit_s: float = LIMIT_S) -> Verdict:
    """Judge an answer; whatever it is or does, it gives a verdict.

    Args:
        exercise: The exercise.
        answer: Whatever the learner has handed over.
        limit_s: Seconds that the check may take, where the system has a timer and in the main thread.

    Returns:
        The verdict.
    """
    try:
        if reason := _unfinished(exercise, answer):
            return Verdict("untouched", reason)
        if reason := _of_another_kind(exercise, answer):
            return Verdict("unsolved", reason)
        mistake_in = _check(exercise)  # which may import torch: not on the answer's time
        with _undisturbed(), _time_limit(limit_s):
            name = mistake_in(_guarded(answer))
    except OutOfTimeError:
        return Verdict(
            "unsolved", f"It was stopped after {limit_s:g} seconds: does a loop end, and is it on small data?"
        )
    except KeyboardInterrupt:
        return Verdict("untouched", "The check was interrupted.")
    except AnswerError as error:
        return Verdict("unsolved", str(error))
    except AssertionError as error:
        return Verdict("unsolved", str(error) or "What has to hold does not hold.")
    except BaseException as error:  # what an answer does must not end the notebook
        return Verdict("unsolved", f"The check cannot use {kind(answer)}: {_said(error)}")
    if name is None:
        return Verdict("solved", "")
    return Verdict("mistake", {m.name: m.message for m in exercise.mistakes}[name], name)


@cache
def _check(exercise: Exercise) -> Callable[[Any], str | None]:
    """Give the exercise's `mistake_in`, in a namespace of its own."""
    namespace: dict[str, Any] = {"__name__": f"check of {exercise.number}"}
    for code in (exercise.sheet.checks, exercise.check):
        exec(compile(code, f"{exercise.sheet.path.name}, check of {exercise.number}", "exec"), namespace)
    return namespace["mistake_in"]


def _guarded(answer: Any) -> Any:
    """Wrap a function, so that what goes wrong inside it is told as the learner's."""
    if not callable(answer) or isinstance(answer, type) or hasattr(answer, "forward"):
        return answer

    def call(*args, **kwargs):
        try:
            result = answer(*args, **kwargs)
        except Exception as error:
            raise AnswerError(f"Called by the check, it stopped with {_said(error)}") from error
        if result is None or result is ...:
            raise AnswerError("Called by the check, it gives nothing: does every way through it end with `return`?")
        return result

    return call


def _unfinished(exercise: Exercise, answer: Any) -> str | None:
    """Say what of the stub still stands there."""
    stub = exercise.stubbed
    if answer is ...:
        return "It is still `...`: put your answer in its place."
    if isinstance(answer, Mapping):
        still = [key for key, value in answer.items() if value is ...]
        return f"Still `...`: {', '.join(map(repr, still))}." if still else None
    if isinstance(stub, ast.FunctionDef | ast.ClassDef):
        codes = _codes(compile(ast.Module([stub], []), "stub", "exec"))
        mine = [getattr(answer, "__code__", None)] if isinstance(stub, ast.FunctionDef) else _methods(answer)
        if any(_same(code, own) for code in codes for own in mine if own is not None):
            return "It is still the stub: replace the `...` in it."
    return None


def _codes(code: CodeType) -> list[CodeType]:
    """Give the code of the functions in a stub that are still to be written: those that only say `...`."""
    inner = [const for const in code.co_consts if isinstance(const, CodeType)]
    return [found for one in inner for found in ([one] if not _codes(one) and not one.co_names else _codes(one))]


def _methods(answer: Any) -> list[CodeType | None]:
    """Give the code of a class's own functions."""
    return [getattr(value, "__code__", None) for value in vars(answer).values()] if isinstance(answer, type) else []


def _same(code: CodeType, other: CodeType) -> bool:
    """Say whether two functions are the same, wherever they stand."""
    return (code.co_name, code.co_code, code.co_consts) == (other.co_name, other.co_code, other.co_consts)


def _of_another_kind(exercise: Exercise, answer: Any) -> str | None:
    """Say that the answer is no function, class or dictionary where the stub has one."""
    stub = exercise.stubbed
    if isinstance(stub, ast.ClassDef) and not isinstance(answer, type):
        return f"Hand over the class itself, `{exercise.answer}`, and not {kind(answer)}."
    if isinstance(stub, ast.FunctionDef) and not callable(answer):
        return f"Hand over the function itself, `{exercise.answer}` without brackets, and not {kind(answer)}."
    if isinstance(stub, ast.Dict):
        keys = [ast.literal_eval(key) for key in stub.keys]
        if not isinstance(answer, Mapping):
            return f"Hand over a dictionary with {', '.join(map(repr, keys))}, and not {kind(answer)}."
        if missing := [key for key in keys if key not in answer]:
            return f"The dictionary has no {', '.join(map(repr, missing))}."
    return None


def _said(error: BaseException) -> str:
    """Give an error in one line."""
    try:
        text = " ".join(str(error).split())[:SHOWN]
    except Exception:
        text = ""
    return f"`{type(error).__name__}{': ' if text else ''}{text}`".replace("``", "`")


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Leave the random numbers of the notebook as they were, and gradients switched on or off."""
    with ExitStack() as stack:
        stack.callback(random.setstate, random.getstate())
        if numpy := sys.modules.get("numpy"):
            stack.callback(numpy.random.set_state, numpy.random.get_state())
        if torch := sys.modules.get("torch"):
            stack.enter_context(torch.random.fork_rng(devices=[]))
            stack.enter_context(torch.set_grad_enabled(torch.is_grad_enabled()))
        yield


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise `OutOfTimeError` after some seconds, and each second from then on; without a timer do nothing."""
    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_):
        raise OutOfTimeError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before or signal.SIG_DFL)

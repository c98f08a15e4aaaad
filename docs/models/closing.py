# ruff: noqa: C901, D103, D205, INP001, PLR0912, PLR0917  # one table of transitions, read as a whole
"""Exhaustive model of close-day running beside landing (docs/closing.md): is an envelope in at most one data object, and is a message
deleted only when its envelope is in one, also after claims were folded and have expired?

Around the transitions of `landing.py`, which stay as they are: an invocation reads the folded ranges before its claims (step 3); close-days
run any number of times, in any number at once, and may crash before any step; each may see a listing of the lake that is older than the
claims it read; each of its creates and writes may be applied with its answer lost, or not applied. A claim expires at any moment
 - if it is folded, and no invocation is at work that read the ranges before (a month, against minutes), or
 - if it names a void key, or an absent one whose invocation has ended (60 days, against minutes).

    python3 closing.py 2 1                 252,851 states, safe (about 3 s): two invocations, close-days one after the other
    python3 closing.py 2 2                 2,425,432 states, safe (about a minute): two close-days at a time
    python3 closing.py 2 1 foldunseen      a broken variant: claims are folded whatever their key is                  -> LOST
    python3 closing.py 2 1 overwrite       a broken variant: the void is put without its condition (If-None-Match)    -> LOST
    python3 closing.py 2 2 lastwins        a broken variant: ranges are written without the condition on the version  -> DOUBLE
    python3 closing.py 2 1 shortlived      a broken assumption: claims expire although they are not folded            -> DOUBLE
    python3 closing.py 2 1 hasty           a broken assumption: claims expire as soon as they are folded              -> DOUBLE

State: that of landing, the folded envelopes, what each invocation read of them (None: nothing yet), and the close-days (phase, claims to
look at as (envelope, key), envelopes found in data, the folded envelopes that it read).
"""

import itertools
import runpy
import sys
from pathlib import Path

LANDING = runpy.run_path(str(Path(__file__).with_name("landing.py")), run_name="model")
VOID, END, ENVELOPES = LANDING["VOID"], LANDING["END"], LANDING["ENVELOPES"]
IDLE = ("read", (), frozenset(), frozenset())


def successors(state, variant):
    landing, folded, read, closers = state
    claims, keys, deleted, runs = landing

    for i, (phase, todo, mine, ok, bad, unknown, other) in enumerate(runs):
        if phase == "known":  # step 3: covered is a duplicate
            known = frozenset(todo) & folded
            run = ("claim", tuple(e for e in todo if e not in known), mine, ok | known, bad, unknown, other)
            yield "folded ranges read", ((claims, keys, deleted, replaced(runs, i, run)), folded, replaced(read, i, folded), closers)
    for name, following in LANDING["successors"](landing, ""):
        yield name, (following, folded, read, closers)

    for e, key in enumerate(claims):
        if key and may_expire(e, key, state, variant):
            yield f"claim {e} expires", ((replaced(claims, e, 0), keys, deleted, runs), folded, read, closers)

    for c, (phase, todo, found, base) in enumerate(closers):

        def to(phase, todo=(), found=found, base=base, keys=keys, folded=folded, c=c):
            closer = IDLE if phase == "read" else (phase, todo, found, base)
            # Which of two equal close-days does it is all one.
            return (claims, keys, deleted, runs), folded, read, tuple(sorted(replaced(closers, c, closer), key=repr))

        if phase == "read":
            listed = tuple((e, key) for e, key in enumerate(claims) if key and e not in folded)
            if listed:
                yield "close-day reads ranges, then claims", to("look", listed, base=folded)
            continue
        yield "close-day crashes", to("read")
        if phase == "look":
            if not todo:
                yield "all looked at", to("write" if found else "read")
                continue
            (e, key), rest = todo[0], todo[1:]
            at = keys[key - 1]
            if at not in (None, VOID) or variant == "foldunseen":
                yield "data: to be folded", to("look", rest, found | {e})
            if at == VOID or at is None:
                yield "void, or lease runs: leave it", to("look", rest)
            yield "absent in the listing", to("void", todo)
        elif phase == "void":
            at = todo[0][1] - 1
            if keys[at] is None or variant == "overwrite":
                yield "void created", to("look", todo[1:], keys=replaced(keys, at, VOID))
                yield "void created, answer lost", to("head", todo, keys=replaced(keys, at, VOID))
                yield "not created, answer lost", to("head", todo)
            else:
                yield "it is there: look at it", to("head", todo)
        elif phase == "head":
            e, key = todo[0]
            yield "looked at", to("look", todo[1:], found | {e} if keys[key - 1] not in (None, VOID) else found)
        elif phase == "write":
            if folded == base or variant == "lastwins":
                yield "folded", to("read", folded=base | found)
            else:
                yield "somebody else wrote: begin again", to("read")


def may_expire(e, key, state, variant):
    (_, keys, _, runs), folded, read, _ = state
    if variant == "hasty" and e in folded:
        return True
    at_work = [i for i, run in enumerate(runs) if run[0] not in ("end", "known")]
    if keys[key - 1] in (None, VOID):
        return key - 1 not in at_work
    return all(e in read[i] for i in at_work) and (e in folded or variant == "shortlived")


def replaced(items, at, item):
    return (*items[:at], item, *items[at + 1 :])


def explore(runs, closers, variant, calm=False):
    """Visit all states; if `calm`, without crashes, refusals and lost answers."""
    states = 0
    batches = [frozenset({0, 1}), frozenset({0}), frozenset({1})]
    for chosen in itertools.combinations_with_replacement(batches, runs):
        landing = ((0,) * ENVELOPES, (None,) * runs, frozenset(), tuple(("known", tuple(sorted(b)), *END[2:]) for b in chosen))
        first = (landing, frozenset(), (frozenset(),) * runs, (IDLE,) * closers)
        seen, stack = {first}, [(first, ())]
        while stack:
            state, path = stack.pop()
            LANDING["check"](state[0], path)
            for name, following in successors(state, variant):
                if following not in seen and not (calm and any(word in name for word in ("crash", "lost", "refused"))):
                    seen.add(following)
                    stack.append((following, (*path, name)[-40:]))
        states += len(seen)
    return states


if __name__ == "__main__":
    arguments = [*sys.argv[1:], *["2", "1", ""][len(sys.argv) - 1 :]]
    print(explore(int(arguments[0]), int(arguments[1]), arguments[2]), "states, safe")

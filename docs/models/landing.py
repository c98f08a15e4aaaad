# ruff: noqa: C901, D103, D205, INP001, PLR0912, PLR0915, PLR0917, RUF005  # one table of transitions, read as a whole
"""Exhaustive model of the landing protocol (docs/landing.md): is an envelope in at most one data object, and is a message
deleted only when its envelope is in one?

Two envelopes, N invocations (each with its own key and any of three batches), every interleaving; an invocation may crash before any
step; every claim, update and put may be applied with its answer lost, or not applied; a lease may be over at any moment.

    python3 landing.py 3              1,792,563 states, safe (about 30 s)
    python3 landing.py 2 putanyway    a broken variant: K is put although a claim's outcome is unknown   -> LOST
    python3 landing.py 2 overwrite    a broken variant: keys can be overwritten (no If-None-Match)        -> DOUBLE

State: claims (per envelope: 0 or the number of the key it names), keys (per invocation: None = absent, VOID, or the set of envelopes in
its data object), deleted envelopes, and the invocations (phase, todo, mine, success, failed, unknown, the other key being looked at).
"""

import itertools
import sys

ENVELOPES = 2
VOID = "void"
END = ("end", (), frozenset(), frozenset(), frozenset(), False, None)


def successors(state, variant):
    claims, keys, deleted, runs = state
    for i, (phase, todo, mine, ok, bad, unknown, other) in enumerate(runs):
        if phase == "end":
            continue
        own = i + 1

        def to(phase, todo=(), mine=mine, ok=ok, bad=bad, unknown=unknown, other=None, claims=claims, keys=keys, deleted=deleted, i=i):
            run = END if phase == "end" else (phase, todo, mine, ok, bad, unknown, other)
            return claims, keys, deleted, runs[:i] + (run,) + runs[i + 1 :]

        yield "crash", to("end")
        if phase == "claim":
            if not todo:
                yield "all claimed", to("decide")
                continue
            e, rest = todo[0], todo[1:]
            if claims[e] == 0:
                named = claims[:e] + (own,) + claims[e + 1 :]
                yield "claim", to("claim", rest, mine | {e}, claims=named)
                yield "claim applied, answer lost", to("claim", rest, bad=bad | {e}, unknown=True, claims=named)
            elif claims[e] == own:
                yield "claim is mine already", to("claim", rest, mine | {e})
            else:
                yield "claimed by another", to("head", todo, other=claims[e])
            yield "claim not applied, answer lost", to("claim", rest, bad=bad | {e}, unknown=True)
            yield "claim refused (throttled): fail this record", to("claim", rest, bad=bad | {e})
        elif phase == "head":
            e, rest, found = todo[0], todo[1:], keys[other - 1]
            if found is None:
                yield "lease runs: fail this record", to("claim", rest, bad=bad | {e})
                yield "lease over", to("void", todo, other=other)
            elif found == VOID:
                yield "void: take over", to("update", todo, other=other)
            else:
                yield "data: duplicate", to("claim", rest, ok=ok | {e})
        elif phase == "void":
            made = keys if keys[other - 1] is not None else keys[: other - 1] + (VOID,) + keys[other:]
            yield "create void if absent, look again", to("head", todo, other=other, keys=made)
        elif phase == "update":
            e, rest = todo[0], todo[1:]
            if claims[e] == other:
                named = claims[:e] + (own,) + claims[e + 1 :]
                yield "claim moved to me", to("claim", rest, mine | {e}, claims=named)
                yield "update applied, answer lost", to("claim", rest, bad=bad | {e}, unknown=True, claims=named)
                yield "update not applied, answer lost", to("claim", rest, bad=bad | {e}, unknown=True)
            else:
                yield "somebody was faster: fail this record", to("claim", rest, bad=bad | {e})
            yield "update refused (throttled): fail this record", to("claim", rest, bad=bad | {e})
        elif phase == "decide":
            if mine and (not unknown or variant == "putanyway"):
                yield "put", to("put")
            else:
                yield "nothing to put", to("delete", bad=bad | mine, mine=frozenset())
        elif phase == "put":
            if keys[i] is None or variant == "overwrite":
                made = keys[:i] + (mine,) + keys[i + 1 :]
                yield "put", to("delete", ok=ok | mine, keys=made)
                yield "put applied, answer lost", to("own", keys=made)
                yield "put not applied, answer lost", to("own")
            else:
                yield "412", to("own")
        elif phase == "own":
            if keys[i] not in (None, VOID):
                yield "my data is there", to("delete", ok=ok | mine)
            else:
                yield "not there: all fail", to("delete", bad=bad | mine)
        elif phase == "delete":
            yield "succeeded messages are deleted", to("end", deleted=deleted | (ok - bad))


def check(state, path):
    claims, keys, deleted, _ = state
    for e in range(ENVELOPES):
        objects = sum(isinstance(found, frozenset) and e in found for found in keys)
        if objects > 1 or (e in deleted and objects == 0):
            sys.exit(f"{'DOUBLE' if objects > 1 else 'LOST'}: envelope {e}, keys {keys}, claims {claims}\n" + "\n".join(path))


def explore(runs, variant):
    states = 0
    batches = [frozenset({0, 1}), frozenset({0}), frozenset({1})]
    for chosen in itertools.combinations_with_replacement(batches, runs):
        first = ((0,) * ENVELOPES, (None,) * runs, frozenset(), tuple(("claim", tuple(sorted(b)), *END[2:]) for b in chosen))
        seen, stack = {first}, [(first, ())]
        while stack:
            state, path = stack.pop()
            check(state, path)
            for name, following in successors(state, variant):
                if following not in seen:
                    seen.add(following)
                    stack.append((following, (*path, name)[-40:]))
        states += len(seen)
    return states


if __name__ == "__main__":
    print(explore(int(sys.argv[1]) if len(sys.argv) > 1 else 2, sys.argv[2] if len(sys.argv) > 2 else ""), "states, safe")

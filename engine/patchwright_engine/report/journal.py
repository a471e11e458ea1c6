"""Every step of a trace as a line and its details, for whoever wants to see all of it in order."""

import json

from patchwright_engine.report.fields import (
    Step,
    length,
    maybe_number,
    maybe_text,
    maybe_texts,
    maybe_whole,
    number,
    rows,
    scored,
    text,
    texts,
    truth,
    whole,
)

SHOWN_CHARS = 300


def describe(step: Step) -> tuple[str, tuple[str, ...]]:
    """One step in words. Raises DamagedError when it lacks what its kind has."""
    match step["kind"]:
        case "start":
            return f"Issue, budget {text(step, 'budget')}, seed {whole(step, 'seed')}", ()
        case "index":
            ranked = tuple(f"{score:.3f}  {path}" for path, score in scored(step, "ranking"))
            return f"Index: {whole(step, 'files')} files, {whole(step, 'symbols')} symbols", ranked
        case "model":
            return f"Model: {text(step, 'name')}", ()
        case "complete":
            paid = "from the recording" if truth(step, "replayed") else f"{number(step, 'seconds'):.1f} s"
            read = f"{whole(step, 'prompt_tokens')} prompt tokens ({whole(step, 'cached_tokens')} cached)"
            label = f"{text(step, 'stage')}: {len(rows(step, 'answers'))} answers"
            thought = maybe_whole(step, "thought_tokens")
            new = f"{whole(step, 'generated_tokens')} new tokens" + (f" ({thought} thought)" if thought else "")
            return f"{label}, {read}, {new}, {paid}", ()
        case "judge":
            paid = ", from the recording" if truth(step, "replayed") else ""
            return f"{text(step, 'stage')}: judged, P(yes) {_share(maybe_number(step, 'probability'))}{paid}", ()
        case "file_sets":
            considered = [
                f"{whole(row, 'votes')} votes, PRM {_share(maybe_number(row, 'prm'))}: {', '.join(texts(row, 'paths'))}"
                for row in rows(step, "candidates")
            ]
            return f"Files kept: {', '.join(texts(step, 'kept'))}", tuple(considered)
        case "locations":
            considered = [
                f"score {number(row, 'score'):.2f}, {whole(row, 'votes')} votes, "
                f"PRM {_share(maybe_number(row, 'prm'))}: {', '.join(texts(row, 'symbols'))}"
                for row in rows(step, "candidates")
            ]
            return f"Locations, best {whole(step, 'kept')} kept", tuple(considered)
        case "environment":
            where = (
                f"{text(step, 'runner')} with {text(step, 'python')}, sandbox {maybe_text(step, 'sandbox') or 'none'}"
            )
            return f"Environment: {where}; {text(step, 'reason')}", texts(step, "tests")
        case "baseline":
            return f"Tests before any patch: {maybe_text(step, 'tests') or 'none run'}", ()
        case "execution":
            return _execution(step)
        case "nearby_tests":
            return f"Nearest tests: {text(step, 'path') or 'none'}", ()
        case "reproduction":
            verdict = "valid" if truth(step, "valid") else "not used"
            return f"Reproduction, {whole(step, 'votes')} votes, {verdict}: {text(step, 'reason')}", ()
        case "narrowed":
            entered = f"Entered by the reproductions: {len(texts(step, 'entered'))}"
            return entered, tuple(f"kept {name}" for name in texts(step, "kept"))
        case "candidate":
            return f"Rollout {whole(step, 'rollout')}: {_outcome(step)}", ()
        case "round":
            done = f"{whole(step, 'rollouts')} rollouts so far, {whole(step, 'alive')} may be offered"
            return f"End of round {whole(step, 'number') + 1}: {done}", ()
        case "behaviour":
            rows_alike = tuple(", ".join(group) for group in groups_of(step))
            return f"Behaviour on {length(step, 'probes')} inputs: {len(rows_alike)} kinds", rows_alike
        case "contradicted":
            return "Reproductions that contradict the majority", texts(step, "reproductions")
        case "test":
            verdict = "fails before, passes after" if truth(step, "offered") else f"not offered: {text(step, 'reason')}"
            return f"Regression test {text(step, 'path')}: {verdict}", ()
        case "walks":
            walks = [f"walk {whole(row, 'number')}: {', '.join(texts(row, 'location'))}" for row in rows(step, "walks")]
            return f"Independent walks: {len(walks)}", tuple(walks)
        case "drawn":
            return _drawn(step)
        case "plan":
            return _plan(step)
        case "widened":
            further = f"Looked further, belief elsewhere {number(step, 'elsewhere'):.2f}"
            return further, texts(step, "locations")
        case "belief":
            return f"Belief that {text(step, 'patch')} is right: {number(step, 'confidence'):.2f}", ()
        case "stop":
            return f"No further rollout: {text(step, 'reason')}", ()
        case "dropped":
            left_out = texts(step, "what")
            return f"{text(step, 'stage')}: {len(left_out)} pieces did not fit the prompt", left_out
        case "note":
            return f"Note: {text(step, 'text')}", ()
        case "end":
            result = step.get("result")
            ended = result if isinstance(result, dict) else step
            return f"End: {maybe_text(ended, 'stopped') or 'no reason given'}", maybe_texts(ended, "notes")
    return unknown(step), ()


def unknown(step: Step) -> str:
    """A step of a kind that this version does not know, with what it says."""
    told = {key: value for key, value in step.items() if key not in ("schema", "kind", "at")}
    said = ", ".join(
        f"{key} {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for key, value in told.items()
    )
    short = said if len(said) <= SHOWN_CHARS else said[:SHOWN_CHARS] + "…"
    return f"{step['kind']}: {short}" if short else str(step["kind"])


def groups_of(step: Step) -> list[list[str]]:
    """The patches that behave alike, group by group. Raises DamagedError."""
    groups = step.get("groups")
    listed = groups if isinstance(groups, list) else [None]
    return [list(texts({"groups": group}, "groups")) for group in listed]


def _execution(step: Step) -> tuple[str, tuple[str, ...]]:
    problem = maybe_text(step, "problem")
    if problem is not None:
        return f"No failing test followed: {problem}", ()
    followed = f"{len(texts(step, 'failed'))} failing tests followed, beside {whole(step, 'passed')} that pass"
    return followed, tuple(f"suspected {path}" for path, _ in scored(step, "ranking"))


def _drawn(step: Step) -> tuple[str, tuple[str, ...]]:
    drawn = rows(step, "rollouts")
    each = [f"rollout {whole(row, 'number')}: {maybe_text(row, 'patch_id') or 'no usable patch'}" for row in drawn]
    spent = sum(whole(row, "tokens") for row in drawn)
    return f"Drawn for {text(step, 'strategy')}: {len(each)} rollouts, {spent} tokens", tuple(each)


def _plan(step: Step) -> tuple[str, tuple[str, ...]]:
    planned = [
        f"belief {number(place, 'belief'):.2f}, {length(place, 'gains')} rollouts: {', '.join(texts(place, 'symbols'))}"
        for place in rows(step, "places")
    ]
    planned += [f"{length(one, 'gains')} revisions of {text(one, 'patch')}" for one in rows(step, "revisions")]
    return f"Plan of round {whole(step, 'number') + 1}, belief elsewhere {number(step, 'elsewhere'):.2f}", tuple(
        planned
    )


def _outcome(step: Step) -> str:
    refused = maybe_text(step, "refused")
    if refused is not None:
        return f"refused, {refused}"
    if "diff" not in step:
        return f"same as {text(step, 'patch')} ({whole(step, 'votes')} votes)"
    return f"{text(step, 'patch')} {maybe_text(step, 'evidence') or 'rejected'}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"

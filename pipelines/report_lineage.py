"""The lineage graph of the report: what was made from what, as boxes in rows with the earlier ones above."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from mapring.contract import Manifest, is_published, read_manifest
from mapring.lineage import SourceFile
from mapring.plan import Plan
from mapring.progress import bytes_text
from pipelines.plots import WIDTH, svg
from pipelines.report_scores import Scores

_MOST_IN_A_ROW = 4  # boxes that 390 pixels leave readable
_WIDE, _HIGH, _ACROSS, _DOWN = 148, 74, 14, 44
_MOST_LETTERS = 13  # of a name in a box, in the letters of a phone
_DIGITS = 8  # of a fingerprint
_NAMES = {"base_model": "base model", "teacher": "teacher", "older_shards": "older shards", "earlier_shards": "earlier"}


@dataclass(frozen=True, kw_only=True)
class Node:
    """A box: its kind, its name and what is said of it, whether it stands, and the names of what it was made from."""

    key: str
    kind: str
    name: str
    detail: str
    hint: str
    stands: bool = True
    behind: Sequence[str] = ()


def nodes_of(plan: Plan, shards: Manifest | None, model: Manifest | None, scores: Scores | None) -> list[Node]:
    """The boxes of a plan, what is not published yet included; each stands behind those that it was made from."""
    corpus = _sources("corpus", "input", plan.preprocess_sources)
    earlier = _links("shards", () if shards is None else shards.inputs)
    learned_from = _links("model", () if model is None else model.inputs)
    found = [
        *corpus,
        *earlier,
        _stage("shards", plan.shards, shards, [one.key for one in (*corpus, *earlier)]),
        *learned_from,
        _stage("model", plan.model, model, ["shards", *(one.key for one in learned_from)]),
    ]
    found += _recommended(plan)
    if plan.settings.score is None:
        return found
    asked = _sources("score", "to score", plan.score_sources)
    behind = ["model"]
    if plan.scoring_model != plan.model:
        found.append(_elsewhere("scorer", "model", plan.scoring_model, "that scores", plan.scoring_model_directory))
        behind = ["scorer"]
    made = [_files("bank", "bank", plan.bank_sources)] if plan.bank is not None else []
    if plan.ranker is not None:
        judged = _sources("ranker", "to learn from", plan.ranker_sources)
        learned_of = [*behind, *(one.key for one in (*made, *judged))]
        found += judged
        made.append(_elsewhere("ranker", "ranker", plan.ranker, "trees", plan.ranker_directory, learned_of))
    if plan.decoder is not None:
        where = plan.decoder_directory
        made.append(Node(key="decoder", kind="decoder", name=plan.decoder[:_DIGITS], detail="drafts", hint=where))
    table = Node(
        key="scores",
        kind="scores",
        name="not made" if scores is None else f"version {scores.table.version}",
        detail="" if scores is None else f"{scores.table.rows:,} rows",
        hint=plan.run.scores,
        stands=scores is not None,
        behind=[*behind, *(one.key for one in (*made, *asked))],
    )
    return [*found, *made, *asked, table]


def _recommended(plan: Plan) -> list[Node]:
    """The users' lists, the trees that order them, and what these see; none where nothing is recommended."""
    own = plan.settings.recommend
    if own is None:
        return []
    found = _sources("behaviour", "behaviour", (*plan.interaction_sources, *plan.item_sources))
    behind = [one.key for one in found]
    if own.model or own.reranks_by_own_model:
        behind.append("model")
    if plan.named_reranker is not None:
        other = read_manifest(plan.named_reranker).fingerprint
        found.append(_elsewhere("reranker", "model", other, "re-ranks", plan.named_reranker))
        behind.append("reranker")
    trees = _elsewhere("recommender", "ranker", str(plan.recommender), "trees", plan.recommender_directory, behind)
    lists = _elsewhere(
        *("recommendations", "lists", str(plan.recommendations), "", plan.recommendations_directory), ["recommender"]
    )
    return [*found, trees, lists]


def draw_lineage(nodes: Sequence[Node]) -> str:
    """SVG of the graph: each box below all that it was made from, in rows of at most 4, the rest of a row below it."""
    rows, place = _rows(nodes), {}
    for number, row in enumerate(rows):
        left = (WIDTH - len(row) * _WIDE - (len(row) - 1) * _ACROSS) / 2
        for column, node in enumerate(row):
            place[node.key] = (left + column * (_WIDE + _ACROSS), 4 + number * (_HIGH + _DOWN))
    parts = [_edge(place[key], place[node.key]) for node in nodes for key in node.behind]
    parts += [_box(node, *place[node.key]) for node in nodes]
    height = 8 + len(rows) * (_HIGH + _DOWN) - _DOWN
    title = "Lineage: " + "; ".join(f"{node.kind} {node.name}" for node in nodes)
    return svg(parts, title, height, style="lineage")


def _rows(nodes: Sequence[Node]) -> list[list[Node]]:
    """Nodes by the length of the longest way to them; what nothing is behind stands right above what needs it."""
    depth: dict[str, int] = {}
    for node in nodes:
        depth[node.key] = 1 + max((depth[key] for key in node.behind), default=-1)
    for node in nodes:
        if not node.behind:
            needed = [depth[other.key] for other in nodes if node.key in other.behind]
            depth[node.key] = min(needed, default=1) - 1
    layers: defaultdict[int, list[Node]] = defaultdict(list)
    for node in nodes:
        layers[depth[node.key]].append(node)
    return [
        layer[start : start + _MOST_IN_A_ROW]
        for _, layer in sorted(layers.items())
        for start in range(0, len(layer), _MOST_IN_A_ROW)
    ]


def _stage(kind: str, fingerprint: str, manifest: Manifest | None, behind: Sequence[str]) -> Node:
    said = "not published" if manifest is None else manifest.created[:10]
    return Node(
        key=kind,
        kind=kind,
        name=fingerprint[:_DIGITS],
        detail=said,
        hint=f"{kind} {fingerprint}, {'not published' if manifest is None else 'published ' + manifest.created}",
        stands=manifest is not None,
        behind=behind,
    )


def _elsewhere(key: str, kind: str, fingerprint: str, detail: str, directory: str, behind: Sequence[str] = ()) -> Node:
    stands = is_published(directory)
    return Node(
        key=key, kind=kind, name=fingerprint[:_DIGITS], detail=detail, hint=directory, stands=stands, behind=behind
    )


def _sources(key: str, kind: str, files: Iterable[SourceFile]) -> list[Node]:
    """A box for each input; of more than a row has, one for all."""
    by_source: defaultdict[str, list[SourceFile]] = defaultdict(list)
    for file in files:
        by_source[file.source].append(file)
    if len(by_source) > _MOST_IN_A_ROW:
        return [_files(key, kind, [file for own in by_source.values() for file in own], f"{len(by_source)} inputs")]
    return [_files(f"{key}:{name}", kind, own, name) for name, own in by_source.items()]


def _files(key: str, kind: str, files: Sequence[SourceFile], name: str | None = None) -> Node:
    size = sum(file.bytes for file in files)
    counted = f"{len(files):,} files" if len(files) > 1 else "1 file"
    names = ", ".join(file.relative for file in files[:3]) + (", ..." if len(files) > 3 else "")
    return Node(
        key=key,
        kind=kind,
        name=name or counted,
        detail=bytes_text(size) if len(files) == 1 else f"{counted}, {bytes_text(size)}",
        hint=f"{name or kind}: {counted}, {size:,} bytes: {names}",
    )


def _links(key: str, inputs: Iterable[Mapping[str, Any]]) -> list[Node]:
    """What a manifest names besides files and the stage before."""
    return [
        Node(
            key=f"{key}:{number}",
            kind=_NAMES[link["kind"]],
            name=str(link.get("fingerprint") or link.get("path"))[: _DIGITS if link.get("fingerprint") else None],
            detail=str(link.get("identity", "")).rpartition(":")[2][:_DIGITS],
            hint=", ".join(f"{name} {value}" for name, value in link.items()),
        )
        for number, link in enumerate(inputs)
        if link.get("kind") in _NAMES
    ]


def _short(text: str) -> str:
    """The end of a path, and of a long name its start."""
    text = text.rstrip("/").rpartition("/")[2]
    return text if len(text) <= _MOST_LETTERS else f"{text[: _MOST_LETTERS - 1]}…"


def _edge(start: tuple[float, float], end: tuple[float, float]) -> str:
    x, y = start[0] + _WIDE / 2, start[1] + _HIGH
    to_x, to_y = end[0] + _WIDE / 2, end[1]
    bend = max(_DOWN, (to_y - y) / 2)
    return (
        f'<path class="edge" d="M{x:.1f},{y:.1f} C{x:.1f},{y + bend:.1f} {to_x:.1f},{to_y - bend:.1f} '
        f'{to_x:.1f},{to_y - 1:.1f}"/>'
    )


def _box(node: Node, x: float, y: float) -> str:
    style = "box" if node.stands else "box missing"
    middle = x + _WIDE / 2
    texts = ((22, "kind", node.kind), (43, "named", _short(node.name)), (64, "kind", _short(node.detail)))
    lines = "".join(
        f'<text class="{of}" x="{middle:.1f}" y="{y + down:.1f}" text-anchor="middle">{escape(text)}</text>'
        for down, of, text in texts
        if text
    )
    return (
        f'<g><title>{escape(node.hint)}</title><rect class="{style}" x="{x:.1f}" y="{y:.1f}" width="{_WIDE}" '
        f'height="{_HIGH}" rx="8"/>{lines}</g>'
    )

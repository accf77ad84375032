"""The lineage graph: every box below all that it was made from, nothing outside, what is missing said."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapring.contract import read_manifest
from mapring.plan import Plan, make_plan
from pipelines.plots import WIDTH
from pipelines.report_lineage import Node, draw_lineage, nodes_of
from tests.mapring.publishing import publish
from tests.pipelines.test_report import EVIL, publish_model, publish_shards
from tests.spark_jobs.recommending.test_recommend import plan_of
from tests.tiny import write_world


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    config, _ = write_world(tmp_path)
    return make_plan(config)


@st.composite
def graphs(draw: st.DrawFn) -> list[Node]:
    behind: list[list[str]] = [[]]
    for number in range(1, draw(st.integers(1, 14))):
        behind.append(draw(st.lists(st.sampled_from([str(one) for one in range(number)]), unique=True)))
    return [
        Node(key=str(number), kind="kind", name=f"name {number}", detail="d", hint="h", behind=own)
        for number, own in enumerate(behind)
    ]


@given(graphs())
def test_boxes_are_below_what_they_were_made_from_and_on_none_other(nodes: list[Node]) -> None:
    svg = draw_lineage(nodes)
    root = ElementTree.fromstring(svg)
    height = float(root.attrib["viewBox"].split()[3])
    boxes = [tuple(float(rect.attrib[key]) for key in ("x", "y", "width", "height")) for rect in root.iter("rect")]
    place = {node.key: box for node, box in zip(nodes, boxes, strict=True)}
    for x, y, wide, high in boxes:
        assert x >= 0 and y >= 0 and x + wide <= WIDTH and y + high <= height
    for node in nodes:
        assert all(place[key][1] + place[key][3] < place[node.key][1] for key in node.behind)
    assert len({(x, y) for x, y, _, _ in boxes}) == len(nodes)
    assert len(root.findall("path")) == sum(len(node.behind) for node in nodes)


def test_a_plan_has_all_its_stages_and_what_is_not_published_is_marked(plan: Plan) -> None:
    nodes = nodes_of(plan, None, None, None)
    assert [node.kind for node in nodes if not node.stands] == ["shards", "model", "scores"]
    publish_shards(plan)
    publish_model(plan)
    manifests = [read_manifest(directory) for directory in (plan.shards_directory, plan.model_directory)]
    nodes = {node.key: node for node in nodes_of(plan, *manifests, None)}
    assert nodes["model"].behind == ["shards"] and nodes["model"].name == plan.model[:8]
    assert set(nodes["scores"].behind) == {"model", *(key for key in nodes if key.startswith("score:"))}
    assert [node.key for node in nodes.values() if not node.stands] == ["scores"]


def test_lists_stand_below_trees_and_these_below_the_model_that_reads_pairs(tmp_path: Path) -> None:
    publish(tmp_path / "elsewhere")
    words = ["recommend.model=false", f"recommend.reranker={tmp_path}/elsewhere"]
    found = {node.key: node for node in nodes_of(plan_of(tmp_path, *words), None, None, None)}
    assert found["recommendations"].behind == ["recommender"] and not found["recommendations"].stands
    behind = found["recommender"].behind
    assert behind == ["behaviour:interactions", "behaviour:items", "reranker"] and found["reranker"].stands
    assert (found["reranker"].name, found["reranker"].hint) == ("0" * 8, f"{tmp_path}/elsewhere")
    assert "re-ranks" in draw_lineage(list(found.values()))
    alone = {node.key: node for node in nodes_of(plan_of(tmp_path), None, None, None)}
    assert alone["recommender"].behind[-1] == "model" and "reranker" not in alone


def test_many_inputs_are_one_box_and_long_names_are_cut(tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    config, _ = write_world(tmp_path)
    inputs = []
    for number in range(6):
        (tmp_path / f"many/{number}.txt").write_text(f"text {number}\n")
        inputs.append(f"{{name: n{number}, path: {tmp_path}/many/{number}.txt, format: text}}")
    found = nodes_of(make_plan(config, [f"score.inputs=[{', '.join(inputs)}]"]), None, None, None)
    assert [(node.name, node.detail) for node in found if node.kind == "to score"] == [("6 inputs", "6 files, 42 B")]
    svg = draw_lineage([Node(key="a", kind="input", name="a/" + "b" * 40, detail=EVIL, hint=EVIL)])
    assert "<script" not in svg and re.search(r">b{12}…<", svg)

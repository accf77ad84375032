"""Corpora that come later: compared with the stored sketches of earlier ones, whose text is not read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from mapring.contract import read_manifest
from mapring.contract.schemas import SKETCH
from mapring.contract.verify import verify
from mapring.errors import InputError, SettingsError
from mapring.plan import Plan, make_plan
from spark_jobs.explain import explain
from spark_jobs.preprocess import preprocess
from tests.tiny import config_values, write_world

pytestmark = pytest.mark.usefixtures("spark_session_stopped_at_end")
NEAR = {"enabled": True, "shingle_length": 3, "bands": 20, "rows": 4, "threshold": 0.7}
SENTENCE = "the film was very good and with a lovely bright day they saw the street and the window"
WORDS = SENTENCE.split()


def lines_of(root: Path, name: str, texts: list[str], **duplicates: object) -> Plan:
    """A plan over one text file."""
    (root / f"{name}.txt").write_text("\n".join(texts) + "\n")
    values = config_values(root, duplicates=duplicates, lanes=2)
    values["preprocess"]["inputs"] = [{"name": name, "path": str(root / f"{name}.txt"), "format": "text"}]
    values["preprocess"]["splits"] = {"validation": 0.0, "test": 0.0}
    config = root / f"{name}.yaml"
    config.write_text(yaml.safe_dump(values))
    return make_plan(str(config))


def made(number: int) -> str:
    return " ".join(WORDS[(number * 7 + place * (number + 1)) % len(WORDS)] + str(number) for place in range(30))


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    root = tmp_path_factory.mktemp("corpora")
    write_world(root)
    plan = lines_of(root, "first", [*(made(n) for n in range(10)), "short"], near=NEAR, keep_sketches=True)
    preprocess(plan)
    return plan


def test_sketches_of_kept_documents_are_published(first: Plan) -> None:
    manifest = read_manifest(first.shards_directory)
    [entry] = manifest.files_below("sketches")
    table = pq.read_table(Path(first.shards_directory, entry.path))
    assert table.schema == SKETCH and table.num_rows == manifest.details["counts"]["kept"] == 11
    sizes = {len(row["bands"]) for row in table.to_pylist()}
    assert sizes == {0, 20}, "the short document has none"
    assert verify(first.shards_directory) == []


@pytest.fixture(scope="module")
def second(first: Plan, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """A later corpus, compared with the first while the first's texts were elsewhere."""
    root, aside = Path(first.config).parent, tmp_path_factory.mktemp("aside")
    near = made(3).replace(made(3).split()[0], "changed", 1)
    texts = [made(100), made(1), near, "short", made(101), made(101)]
    second = lines_of(root, "second", texts, near=NEAR, earlier=[first.shards_directory])
    manifest = read_manifest(first.shards_directory)
    hidden = [
        (Path(first.shards_directory, entry.path), aside / str(i))
        for i, entry in enumerate(manifest.files_below("data"))
    ]
    for place, hide in hidden:
        place.rename(hide)
    try:
        preprocess(second)
    finally:
        for place, hide in hidden:
            hide.rename(place)
    return second


def test_duplicates_of_earlier_documents_are_dropped_without_reading_their_text(first: Plan, second: Plan) -> None:
    found = read_manifest(second.shards_directory)
    assert found.details["counts"] == {
        "read": 6,
        "kept": 2,
        "dropped": {"exact_duplicate": 3, "near_duplicate": 1},
    }
    drops = [
        row
        for entry in found.files_below("drops")
        for row in pq.read_table(Path(second.shards_directory, entry.path)).to_pylist()
    ]
    by_record = {row["record"]: row for row in drops}
    earlier = {
        row["text"]: row["doc_id"]
        for entry in read_manifest(first.shards_directory).files_below("data")
        for row in pq.read_table(Path(first.shards_directory, entry.path), columns=["doc_id", "text"]).to_pylist()
    }
    for record, twin in ((2, made(1)), (3, made(3)), (4, "short")):
        assert by_record[record]["kept_doc_id"] == earlier[twin]
        assert by_record[record]["detail"] == f"kept in shards {first.shards}"
    assert 0.7 <= by_record[3]["similarity"] < 1
    assert {"kind": "earlier_shards", "path": first.shards_directory, "fingerprint": first.shards} in found.inputs


def test_the_story_of_a_duplicate_follows_its_twin_into_the_earlier_shards(first: Plan, second: Plan) -> None:
    drops = {
        row["record"]: row
        for entry in read_manifest(second.shards_directory).files_below("drops")
        for row in pq.read_table(Path(second.shards_directory, entry.path)).to_pylist()
    }
    for record, rule, difference in (
        (2, "exact_duplicate", "no word differs"),
        (3, "near_duplicate", f"[-{made(3).split()[0]}-] {{+changed+}}"),
        (4, "exact_duplicate", "no word differs"),
    ):
        told = "\n".join(explain(second, drops[record]["doc_id"]))
        assert f"dropped at stage dedup by rule {rule}" in told and f"detail kept in shards {first.shards}" in told
        twin = drops[record]["kept_doc_id"]
        assert f"kept twin: document {twin}, in {first.shards_directory}\n" in told
        place = next(line for line in told.splitlines() if line.startswith("    kept: split "))
        assert place.strip() in "\n".join(explain(first, twin)), "where the earlier shards' own story says"
        assert f"from the twin to this one: {difference}" in told
    plan = replace(make_plan(second.config, ["preprocess.duplicates.earlier=[]"]), shards=second.shards)
    told = "\n".join(explain(plan, drops[3]["doc_id"]))
    assert "its shards are not among preprocess.duplicates.earlier of this pipeline any more" in told


def test_sketches_that_cannot_be_compared_are_refused_before_a_start(first: Plan) -> None:
    root = Path(first.config).parent
    with pytest.raises(SettingsError, match=r"has sketches made with .*use the same"):
        lines_of(root, "third", ["a"], near={**NEAR, "rows": 5}, earlier=[first.shards_directory])
    with pytest.raises(SettingsError, match=r"earlier\.0: .*found no published\.json"):
        lines_of(root, "third", ["a"], near=NEAR, earlier=[str(root)])
    bare = lines_of(root, "bare", [made(1)], near=NEAR)
    preprocess(bare)
    with pytest.raises(SettingsError, match="has no sketches; preprocess it again with"):
        lines_of(root, "third", ["a"], near=NEAR, earlier=[bare.shards_directory])


def grown(root: Path, name: str, file: str, texts: list[str], **duplicates: object) -> Plan:
    """A plan over an input of one name, as a feed that is written in place: its documents have the ids of last time."""
    plan = lines_of(root, name, texts, **duplicates)
    place = root / name / file
    place.parent.mkdir(exist_ok=True)
    (root / f"{name}.txt").rename(place)
    values = yaml.safe_load(Path(plan.config).read_text())
    values["preprocess"]["inputs"] = [{"name": "feed", "path": str(place.parent), "format": "text"}]
    Path(plan.config).write_text(yaml.safe_dump(values))
    return make_plan(plan.config)


def kept_texts(plan: Plan) -> list[str]:
    return sorted(
        row["text"]
        for entry in read_manifest(plan.shards_directory).files_below("data")
        for row in pq.read_table(Path(plan.shards_directory, entry.path), columns=["text"]).to_pylist()
    )


def dropped(plan: Plan) -> dict[int, tuple[str, str | None]]:
    """Rule and detail by record."""
    return {
        row["record"]: (row["rule"], row["detail"])
        for entry in read_manifest(plan.shards_directory).files_below("drops")
        for row in pq.read_table(Path(plan.shards_directory, entry.path)).to_pylist()
    }


def test_a_feed_that_grew_is_compared_with_itself_though_its_documents_have_the_same_ids(tmp_path: Path) -> None:
    write_world(tmp_path)
    old, near = [made(n) for n in range(6)], made(3).replace(made(3).split()[0], "changed", 1)
    monday = grown(tmp_path, "monday", "posts.txt", old, near=NEAR, keep_sketches=True)
    preprocess(monday)
    texts = [*old[:3], near, *old[4:], made(100), made(101)]
    tuesday = grown(
        tmp_path, "tuesday", "posts.txt", texts, near=NEAR, keep_sketches=True, earlier=[monday.shards_directory]
    )
    preprocess(tuesday)
    in_monday = f"kept in shards {monday.shards}"
    assert kept_texts(tuesday) == sorted([made(100), made(101)])
    exact = dict.fromkeys((1, 2, 3, 5, 6), ("exact_duplicate", in_monday))
    assert dropped(tuesday) == {**exact, 4: ("near_duplicate", in_monday)}
    # Both earlier corpora have documents of the same ids, with other texts; and one of this corpus has one, too.
    other = [made(200), made(101), made(101), old[0], made(201)]
    earlier = [monday.shards_directory, tuesday.shards_directory, monday.shards_directory]
    wednesday = grown(tmp_path, "wednesday", "posts.txt", other, near=NEAR, earlier=earlier)
    preprocess(wednesday)
    in_tuesday = ("exact_duplicate", f"kept in shards {tuesday.shards}")
    assert kept_texts(wednesday) == sorted([made(200), made(201)])
    assert dropped(wednesday) == {2: in_tuesday, 3: in_tuesday, 4: ("exact_duplicate", in_monday)}
    assert verify(wednesday.shards_directory) == []


def test_where_all_is_in_earlier_shards_there_is_nothing_to_publish(first: Plan) -> None:
    root = Path(first.config).parent
    known = lines_of(root, "known", [made(1), made(2)], near=NEAR, earlier=[first.shards_directory])
    with pytest.raises(InputError, match="each of the 2 documents that can be kept is in earlier shards already"):
        preprocess(known)

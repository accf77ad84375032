"""Drafts through Spark: beside label and answers of the same scoring, traced to their decoder, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from deltalake import DeltaTable

from mapring.errors import SettingsError
from mapring.lineage import directory_identity
from mapring.plan import Plan, make_plan
from mapring.scores.verify import verify_scores
from mapring.settings import output_settings
from mapring.settings.answers import Answers
from pipelines.vacuum import in_use
from spark_jobs.decoder import Decoder
from spark_jobs.prediction import predict_columns
from spark_jobs.predictor import Predictor
from spark_jobs.score import score
from spark_jobs.score_stream import score_stream
from tests.spark_jobs.retrieval.test_bank import write_bank
from tests.spark_jobs.retrieval.test_label_and_answer import rows_of
from tests.tiny import write_world
from tests.tiny_modes import MAX_LENGTH, TEXTS, publish_made

pytestmark = pytest.mark.usefixtures("spark_session_stopped_at_end")
SHORT = [text for text in TEXTS if len(text.split()) < MAX_LENGTH - 4]
BANK = list(dict.fromkeys(SHORT))[:12]
PROMPT = "score.draft.prompt='great {text} {label}'"
GENERATION = "score.generation={max_new_tokens: 6, temperature: 1.2}"


def plan_of(root: Path, *overrides: str, mode: str = "answer") -> Plan:
    """Texts to score from a bank by a classifier or an embedder, and a decoder in a run directory of its own."""
    config, _ = write_world(root)
    (root / "unseen.txt").write_text("\n".join(SHORT) + "\n")
    write_bank(root, BANK)
    bank = f"{{name: faq, path: {root}/bank.jsonl, format: jsonl, id_column: id, label_column: kind}}"
    task = "embed" if mode == "retrieve" else "classify"
    words = [f"score.mode={mode}", f"train.task={task}", f"score.retrieval.bank=[{bank}]", "score.retrieval.top_k=3"]
    plan = make_plan(config, [*words, *overrides])
    if not Path(plan.model_directory).exists():
        publish_made(Path(plan.model_directory), task, fingerprint=plan.model)
    return plan


@pytest.fixture
def decoder(tmp_path: Path) -> Path:
    directory = tmp_path / "drafter" / "models" / ("d" * 16)
    publish_made(directory, "clm", fingerprint="d" * 16)
    return directory


def test_rows_with_an_answer_have_a_draft_that_is_traced_to_its_decoder(
    tmp_path: Path, decoder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    own = [f"score.draft.model={tmp_path}/drafter", PROMPT, GENERATION, "score.retrieval.abstain_below=0.97"]
    plan = plan_of(tmp_path, *own, "spark.partitions=1")
    assert plan.decoder == "d" * 16 and plan.decoder_directory == str(decoder)
    score(plan)
    rows = rows_of(plan)
    answered = [place for place, row in enumerate(rows) if not row["abstained"]]
    assert 0 < len(answered) < len(rows)
    prompts = [f"great {SHORT[place]} {rows[place]['label']}" for place in answered]
    asked = Answers(mode="generate", generation=plan.scoring.generation)
    expected, _ = predict_columns(Predictor(str(decoder)), prompts, asked)
    assert expected["error"] == [None] * len(prompts) and len(set(expected["generated"])) > 3
    assert [rows[place]["draft"] for place in answered] == expected["generated"]
    assert [rows[place]["draft_finish"] for place in answered] == expected["finish"]
    for place, row in enumerate(rows):
        assert row["draft_model"] == ("d" * 16 if place in answered else None) and row["error"] is row["detail"] is None
        assert place in answered or row["draft"] is row["draft_finish"] is None
    assert verify_scores(plan.run.scores) == []
    told = DeltaTable(plan.run.scores).history(1)[0]
    assert told["mapring.decoder"] == "d" * 16 and told["mapring.decoder_directory"] == str(decoder)
    assert f'"draft_failures": 0, "drafted": {len(answered)}' in told["mapring.counts"]
    assert f"{len(answered)} drafts" in capfd.readouterr().err

    other = plan_of(tmp_path, *own, f"run_dir={tmp_path}/other", "spark.partitions=3")
    score(other)
    assert [row["draft"] for row in rows_of(other)] == [row["draft"] for row in rows], "partitions change nothing"


def test_a_stream_drafts_as_one_scoring_does(tmp_path: Path, decoder: Path) -> None:
    own = [f"score.draft.model={decoder}/transformers-0", PROMPT, GENERATION]
    streamed, at_once = plan_of(tmp_path, *own), plan_of(tmp_path, *own, f"run_dir={tmp_path}/at_once")
    score_stream(streamed)
    score(at_once)
    names = ("label", "answers", "draft", "draft_finish", "draft_model")
    found, wanted = ([{name: row[name] for name in names} for row in rows_of(plan)] for plan in (streamed, at_once))
    assert found == wanted and all(row["draft"] is not None for row in found)
    before = DeltaTable(streamed.run.scores).version()
    score_stream(streamed)
    assert DeltaTable(streamed.run.scores).version() == before, "nothing has come"


def test_another_decoder_or_prompt_scores_again_and_none_is_as_it_was(tmp_path: Path, decoder: Path) -> None:
    plain, named = plan_of(tmp_path), ["score.draft.model=" + str(decoder / "transformers-0"), GENERATION]
    assert "draft" not in output_settings(plain.scoring) and plain.decoder is None
    plan = plan_of(tmp_path, *named, PROMPT)
    assert plan.decoder == directory_identity(str(decoder / "transformers-0"))[:16]
    moved = tmp_path / "moved"
    (decoder / "transformers-0").rename(moved)
    elsewhere = plan_of(tmp_path, f"score.draft.model={moved}", GENERATION, PROMPT)
    assert elsewhere.score_settings == plan.score_settings, "its content counts, not its place"
    (moved / "generation_config.json").write_text('{"eos_token_id": 7}')
    changed = plan_of(tmp_path, f"score.draft.model={moved}", GENERATION, PROMPT)
    prompt = plan_of(tmp_path, f"score.draft.model={moved}", GENERATION, "score.draft.prompt='{text}'")
    longer = plan_of(tmp_path, f"score.draft.model={moved}", "score.generation={max_new_tokens: 7}", PROMPT)
    found = [one.score_settings["unseen"] for one in (plain, plan, changed, prompt, longer)]
    assert len(set(found)) == len(found)
    assert plain.model == plan.model == changed.model and plain.bank == plan.bank == changed.bank


def test_mode_retrieve_has_drafts_and_texts_of_templates_in_their_prompts(tmp_path: Path, decoder: Path) -> None:
    own = [f"score.draft.model={decoder}/transformers-0", "score.draft.prompt='{text} {label} {answer}'"]
    plan = plan_of(tmp_path, *own, GENERATION, mode="retrieve")
    score(plan)
    rows = sorted(DeltaTable(plan.run.scores).to_pyarrow_table().to_pylist(), key=lambda row: row["record"])
    templates = {f"t{place:04d}": text for place, text in enumerate(BANK)}
    prompts = [f"{text} {row['label']} {templates[row['answer']]}" for text, row in zip(SHORT, rows, strict=True)]
    written = Decoder(plan.decoder_directory, str(plan.decoder), 1, 2048)(prompts, plan.scoring.generation)
    assert [row["draft"] for row in rows] == written.texts
    assert len(set(written.texts)) > 5


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ("score.draft.prompt='{text} {question}'",),
            r"score.draft.prompt: .*the field \{question\}, expected",
        ),
        (("score.draft.prompt='{label}'",), r"without \{text\}, by which rows would all get one draft"),
        (
            ("score.mode=classify", "score.retrieval=null"),
            "draft: found it with mode classify, expected retrieve",
        ),
        (("score.draft.model={root}/nothing",), "score.draft.model: found no config.json in .*nothing"),
        (("score.draft.model={root}/encoder",), "score.draft.model: found BertForSequenceClassification in"),
        (("score.draft.model={root}/run",), "score.draft.model: found .*a published classify, expected a decoder"),
        (("score.draft.max_new_tokens=5",), "score.draft.max_new_tokens"),
        (("score.draft=null", "score.generation.max_new_tokens=5"), "generation: found it with mode answer"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path: Path, decoder: Path, words: tuple[str, ...], told: str) -> None:
    inside = Path(plan_of(tmp_path).model_directory) / "transformers-0"
    (tmp_path / "encoder").symlink_to(inside)
    given = [word.replace("{root}", str(tmp_path)) for word in words]
    with pytest.raises(SettingsError, match=told):
        plan_of(tmp_path, f"score.draft.model={decoder}", PROMPT, *given)


def test_labels_in_a_prompt_need_labels_in_the_bank(tmp_path: Path, decoder: Path) -> None:
    bare = f"score.retrieval.bank=[{{name: faq, path: {tmp_path}/bank.jsonl, format: jsonl}}]"
    with pytest.raises(SettingsError, match=r"draft.prompt: found \{label\} with mode retrieve, but the templates faq"):
        plan_of(tmp_path, f"score.draft.model={decoder}", PROMPT, bare, mode="retrieve")
    assert plan_of(tmp_path, f"score.draft.model={decoder}", PROMPT, bare).decoder == "d" * 16


def test_a_decoder_of_pairs_is_refused(tmp_path: Path) -> None:
    publish_made(tmp_path / "pairs", "clm", is_pair=True)
    with pytest.raises(SettingsError, match=r"score.draft.model: found .*pairs, which reads pairs of texts"):
        score(plan_of(tmp_path, f"score.draft.model={tmp_path}/pairs", PROMPT))


def test_the_same_run_directory_may_hold_the_decoder(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    publish_made(Path(plan.run.model("e" * 16)), "clm", fingerprint="e" * 16)
    found = plan_of(tmp_path, f"score.draft.model={plan.run.model('e' * 16)}", PROMPT)
    assert "e" * 16 in in_use(found).named and found.model == plan.model

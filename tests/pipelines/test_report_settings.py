"""The settings on the page: by the keys of the command line, and without secrets."""

from __future__ import annotations

import pytest

from pipelines.report_settings import NOT_SHOWN, flatten, shown_overrides, shown_settings


def test_settings_are_flattened_to_the_keys_of_the_command_line() -> None:
    values = {"a": {"b": [{"c": 1}, {"c": None}], "d": [], "e": {}}, "f": True}
    assert flatten(values) == {"a.b.0.c": 1, "a.b.1.c": None, "a.d": [], "a.e": {}, "f": True}


def test_a_page_that_is_mailed_shows_no_secret() -> None:
    conf = {
        "spark.hadoop.fs.s3a.access.key": "AKIA",
        "spark.hadoop.fs.s3a.secret.key": "wJal",
        "spark.hadoop.fs.s3a.session.token": "FwoG",
        "spark.hadoop.fs.azure.account.key.x.net": "Eby8",
        "spark.sql.shuffle.partitions": "4",
    }
    hooks = [{"name": "chat", "url": "https://chat/B0/XXX", "url_env": None, "secret_env": "CHAT_SECRET"}]
    shown = shown_settings({"spark": {"conf": conf}, "alerts": {"webhooks": hooks}, "preprocess": {"tokenizer": "t"}})
    assert [key for key, value in shown.items() if value == NOT_SHOWN] == [
        *(f"spark.conf.{key}" for key in list(conf)[:4]),
        "alerts.webhooks.0.url",
    ]
    assert shown["preprocess.tokenizer"] == "t" and shown["alerts.webhooks.0.secret_env"] == "CHAT_SECRET"
    words = [
        "train.epochs=2",
        "spark.conf.spark.hadoop.fs.s3a.secret.key=wJal",
        "alerts.webhooks=[{name: a, url: https://b}]",
    ]
    assert shown_overrides(words) == [
        "train.epochs=2",
        f"spark.conf.spark.hadoop.fs.s3a.secret.key={NOT_SHOWN}",
        f"alerts.webhooks={NOT_SHOWN}",
    ]


@pytest.mark.parametrize(
    "name",
    [
        "spark.executorEnv.HF_TOKEN",
        "spark.executorEnv.WANDB_API_KEY",
        "spark.executorEnv.AWS_SESSION_TOKEN",
        "spark.hadoop.fs.cosn.userinfo.secretKey",
        "spark.hadoop.fs.gs.auth.service.account.private.key",
        "spark.hadoop.fs.s3a.encryption.key",
        "spark.hadoop.fs.azure.sas.box.account.blob.core.windows.net",
        "spark.hadoop.fs.azure.account.oauth2.client.secret",
        "spark.ssl.keyStorePassword",
    ],
)
def test_a_secret_of_spark_is_known_wherever_in_a_name_its_word_stands(name: str) -> None:
    assert shown_settings({"spark": {"conf": {name: "abc"}}}) == {f"spark.conf.{name}": NOT_SHOWN}
    for word in (f"spark.conf.{name}=abc", f"spark.conf={{{name}: abc}}", f"spark={{conf: {{{name}: abc}}}}"):
        [shown] = shown_overrides([word])
        assert shown == f"{word.partition('=')[0]}={NOT_SHOWN}"


def test_a_secret_among_the_options_of_a_jvm_is_not_shown() -> None:
    options = {"spark.driver.extraJavaOptions": "-Xss4m -Dfs.s3a.secret.key=abc", "spark.x": "-Xss4m -Dsize=4"}
    shown = shown_settings({"spark": {"conf": options}})
    assert list(shown.values()) == [NOT_SHOWN, "-Xss4m -Dsize=4"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("https://user:pass@host.org/x", f"https://{NOT_SHOWN}@host.org/x"),
        ("https://token@host.org:80/x", f"https://{NOT_SHOWN}@host.org:80/x"),
        ("s3://KEY:SEC/RET@bucket/x.csv", f"s3://{NOT_SHOWN}@bucket/x.csv"),
        ("https://host.org/x?api_key=1&b=2", f"https://host.org/x?{NOT_SHOWN}"),
        ("mysql+pymysql://u:p@h/db?password=1", f"mysql+pymysql://{NOT_SHOWN}@h/db?{NOT_SHOWN}"),
        ("https://host.org:8080/x", "https://host.org:8080/x"),
        ("s3://bucket/part-?/year=2024/*.csv", "s3://bucket/part-?/year=2024/*.csv"),
        ("data/part-?.csv", "data/part-?.csv"),
        ("me@home", "me@home"),
    ],
)
def test_of_a_url_user_password_and_query_are_not_shown(value: str, shown: str) -> None:
    assert shown_settings({"train": {"tracking": {"mlflow_uri": value}}}) == {"train.tracking.mlflow_uri": shown}
    assert shown_overrides([f"train.tracking.mlflow_uri={value}"]) == [f"train.tracking.mlflow_uri={shown}"]
    assert shown_overrides([f"train.tracking={{mlflow_uri: '{value}'}}"]) == [
        f"train.tracking={{mlflow_uri: '{shown}'}}"
    ]


def test_what_only_sounds_like_a_secret_is_shown() -> None:
    values = {
        "preprocess": {"tokenizer": "t"},
        "score": {"batch_tokens": 8},
        "train": {"model": {"config": {"pad_token_id": 0}}},
        "spark": {"conf": {"spark.sql.shuffle.partitions": "4", "spark.x.tokenizer": "t"}},
    }
    assert shown_settings(values) == flatten(values)
    words = ["train.epochs=2", "preprocess.tokenizer=t", "score.inputs.0.path="]
    assert shown_overrides(words) == words

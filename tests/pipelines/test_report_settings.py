"""The settings on the page: by the keys of the command line, and without secrets."""

from __future__ import annotations

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

"""The command that writes a job for data of one's own: new."""

from __future__ import annotations

import click

from tune_jobs.cli.help import Command
from tune_jobs.cli.output import echo


@click.command(
    cls=Command,
    examples=[
        "new my_job.py --data customers.csv --target churned",
        "new my_job.py --data customers.csv --target churned --with-trainable",
    ],
)
@click.argument("path", metavar="FILE")
@click.option(
    "--data",
    required=True,
    metavar="PATH",
    help="Data set: a table (.parquet, .csv or a folder of .parquet files) or images (.npz).",
)
@click.option("--target", metavar="COLUMN", help="Column to predict; A,B for several.")
@click.option(
    "--trainable",
    metavar="NAME",
    help="Model: tabular_mlp or image_cnn.",
    show_default="what the data suggest",
)
@click.option("--with-trainable", is_flag=True, help="Write the model into FILE too, to edit it.")
@click.option("--force", is_flag=True, help="Overwrite FILE if it exists.")
def new(
    path: str,
    data: str,
    target: str | None,
    trainable: str | None,
    with_trainable: bool,
    force: bool,
) -> None:
    """Write a job for your data to FILE, a Python file to edit."""
    from tune_jobs.engine.job.new import write_job

    name = write_job(
        path,
        data=data,
        target=target,
        trainable=trainable,
        with_trainable=with_trainable,
        force=force,
    )
    model = "and its model" if with_trainable else f"of trainables.{name}"
    echo(f"wrote   {path}, a job {model}")
    echo(f"next    tune-jobs check {path}\n        tune-jobs run {path}")

"""Arguments that several commands take."""

from typing import Annotated

import typer

ModelArgument = Annotated[
    str,
    typer.Argument(
        help="models:/NAME@champion, models:/NAME/VERSION, runs:/RUN_ID/model, or a package folder.", metavar="MODEL"
    ),
]
TrackingOption = Annotated[
    str,
    typer.Option(
        help="MLflow store that knows the model: a folder with mlflow.db, or an address.", envvar="MLFLOW_TRACKING_URI"
    ),
]

"""Training, saving and loading, with the parameters of DensePassageRetriever.

Spelled as farm_haystack.py is, since Haystack reads these annotations too.
"""
# ruff: noqa: UP006, UP007, UP035, UP045

from pathlib import Path
from typing import Any, Dict, Optional, Type, TypeVar, Union

from dpr_tiny_retriever.adapters.farm_haystack_imports import BaseDocumentStore
from dpr_tiny_retriever.atomic_files import replaced_folder
from dpr_tiny_retriever.dual_encoder import DualEncoder
from dpr_tiny_retriever.errors import MissingExtraError
from dpr_tiny_retriever.types import Model

_Retriever = TypeVar("_Retriever", bound="TrainedPair")


class TrainedPair:
    """A pair of encoders that can be trained further, saved and loaded."""

    encoder: DualEncoder
    use_gpu: bool
    _run_options: Dict[str, Any]
    _component_config: Dict[str, Any]

    def train(
        self,
        data_dir: str,
        train_filename: str,
        dev_filename: Optional[str] = None,
        test_filename: Optional[str] = None,
        max_samples: Optional[int] = None,
        max_processes: int = 128,
        multiprocessing_strategy: Optional[str] = None,
        dev_split: float = 0,
        batch_size: int = 2,
        embed_title: bool = True,
        num_hard_negatives: int = 1,
        num_positives: int = 1,
        n_epochs: int = 3,
        evaluate_every: int = 1000,
        n_gpu: int = 1,
        learning_rate: float = 1e-5,
        epsilon: float = 1e-08,
        weight_decay: float = 0.0,
        num_warmup_steps: int = 100,
        grad_acc_steps: int = 1,
        use_amp: bool = False,
        optimizer_name: str = "AdamW",
        optimizer_correct_bias: bool = True,
        save_dir: str = "../saved_models/dpr",
        query_encoder_save_dir: str = "query_encoder",
        passage_encoder_save_dir: str = "passage_encoder",
        checkpoint_root_dir: Union[str, Path] = "model_checkpoints",
        checkpoint_every: Optional[int] = None,
        checkpoints_to_keep: int = 3,
        early_stopping: Optional[Any] = None,
    ) -> None:
        """Train both sides further on DPR JSON, write them into save_dir, and use them from then on.

        The parameters are DensePassageRetriever's. One reading process and one checkpoint are enough here whatever
        max_processes and checkpoints_to_keep say; grad_acc_steps times batch_size questions make one batch, encoded
        batch_size at a time; early_stopping gives the patience, in evaluations by DPR's average rank. Documents that
        are already indexed keep their former vectors: call update_embeddings. Raises ValueError for a value that is
        not supported here. Needs the extra `train`.
        """
        parameters = {name: value for name, value in locals().items() if name != "self"}
        del parameters["query_encoder_save_dir"], parameters["passage_encoder_save_dir"]
        try:
            from dpr_tiny_retriever.adapters.farm_haystack_training import train_as_haystack
        except ModuleNotFoundError as error:
            missing = (error.name or "").split(".")[0]
            raise MissingExtraError(
                f'training needs {missing}, which is not installed; run: pip install "dpr-tiny-retriever[train]"'
            ) from error
        self.encoder = train_as_haystack(self.encoder, use_gpu=self.use_gpu, **parameters)
        self.save(save_dir, query_encoder_save_dir, passage_encoder_save_dir)
        query, passage = (str(Path(save_dir) / name) for name in (query_encoder_save_dir, passage_encoder_save_dir))
        # Same backend and device as before; pipelines saved from now on name the trained models.
        self.encoder = DualEncoder.from_pretrained(query_model=query, passage_model=passage, **self._run_options)
        self.name_models(None, query, passage)

    def name_models(self, model: Model, query: Model, passage: Model) -> None:
        """Set the model names and the fingerprint in the arguments that Haystack writes to YAML, as plain strings."""
        models = (
            {"model": model} if query is None else {"query_embedding_model": query, "passage_embedding_model": passage}
        )
        arguments = self._component_config["params"]
        for name in ("model", "query_embedding_model", "passage_embedding_model"):
            arguments.pop(name, None)
        arguments.update({name: str(value) for name, value in models.items()})
        arguments["fingerprint"] = self.encoder.fingerprint(model_only=True)

    def save(
        self,
        save_dir: Union[str, Path],
        query_encoder_dir: str = "query_encoder",
        passage_encoder_dir: str = "passage_encoder",
    ) -> None:
        """Write both sides into a folder, or neither; other libraries load them too."""
        with replaced_folder(Path(save_dir)) as folder:
            self.encoder.query_encoder.save_pretrained(folder / query_encoder_dir)
            self.encoder.passage_encoder.save_pretrained(folder / passage_encoder_dir)

    @classmethod
    def load(
        cls: Type[_Retriever],
        load_dir: Union[str, Path],
        document_store: Optional[BaseDocumentStore] = None,
        query_encoder_dir: str = "query_encoder",
        passage_encoder_dir: str = "passage_encoder",
        **parameters: Any,
    ) -> _Retriever:
        """Load what save() wrote; the other parameters are the constructor's."""
        return cls(
            document_store,  # type: ignore[call-arg]
            query_embedding_model=Path(load_dir) / query_encoder_dir,
            passage_embedding_model=Path(load_dir) / passage_encoder_dir,
            **parameters,
        )

"""Hugging Face's models, built small and at random from their configurations: nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest
import torch

from explainer.lessons.vision import torchvision
from tests.referee import judge
from tests.zoo import noise

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("transformers") is None, reason="transformers is missing: pip install '.[zoo]'"),
]

WORDS = torch.arange(21).reshape(3, 7) * 11 % 50
CLASSES = torch.tensor([0, 1, 0])
SMALL = {
    "vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
    "max_position_embeddings": 32,
}  # fmt: skip
ROTARY = ["model.rotary_emb", "model.rotary_emb[1]"]  # cosines and sines of positions: they require no gradient
# The logits, from which the layer itself computes the scores that it returns too; and the indices of the experts.
ROUTED = [f"model.layers.{block}.mlp.gate{which}" for block in (0, 1) for which in ("", "[2]")]
WIDTHS = {"d_model": 16, "vocab_size": 50}


def bert(hf: Any) -> tuple[Any, dict[str, torch.Tensor]]:
    batch = {"input_ids": WORDS, "attention_mask": torch.ones_like(WORDS), "labels": CLASSES}
    return hf.BertForSequenceClassification(hf.BertConfig(**SMALL)), batch


def gpt2(hf: Any) -> tuple[Any, dict[str, torch.Tensor]]:
    config = hf.GPT2Config(vocab_size=50, n_embd=16, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=1)
    return hf.GPT2LMHeadModel(config), {"input_ids": WORDS, "labels": WORDS}


def llama(hf: Any) -> tuple[Any, dict[str, torch.Tensor]]:
    return hf.LlamaForCausalLM(hf.LlamaConfig(num_key_value_heads=1, **SMALL)), {"input_ids": WORDS, "labels": WORDS}


def t5(hf: Any) -> tuple[Any, dict[str, torch.Tensor]]:
    config = hf.T5Config(decoder_start_token_id=0, d_kv=8, d_ff=24, num_layers=2, num_heads=2, **WIDTHS)
    return hf.T5ForConditionalGeneration(config), {"input_ids": WORDS, "labels": WORDS}


def vit(hf: Any) -> tuple[Any, dict[str, torch.Tensor]]:
    sizes = {key: value for key, value in SMALL.items() if key not in ("vocab_size", "max_position_embeddings")}
    config = hf.ViTConfig(image_size=16, patch_size=8, **sizes)
    return hf.ViTForImageClassification(config), {"pixel_values": noise(3, 3, 16, 16), "labels": CLASSES}


def mixtral(hf: Any) -> tuple[Any, dict[str, torch.Tensor]]:
    config = hf.MixtralConfig(num_key_value_heads=1, num_local_experts=4, output_router_logits=True, **SMALL)
    return hf.MixtralForCausalLM(config), {"input_ids": WORDS, "labels": WORDS}


def whisper(hf: Any) -> tuple[Any, dict[str, torch.Tensor]]:
    sides = {
        f"{side}_{what}": size
        for side in ("encoder", "decoder")
        for what, size in (("layers", 1), ("attention_heads", 2), ("ffn_dim", 16))
    }
    tokens = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    lengths = {"num_mel_bins": 8, "max_source_positions": 10, "max_target_positions": 16}
    config = hf.WhisperConfig(**sides, **tokens, **lengths, **WIDTHS)
    return hf.WhisperForConditionalGeneration(config), {"input_features": noise(3, 8, 20), "labels": WORDS}


@pytest.fixture(scope="module")
def hf() -> Any:
    torchvision()  # transformers imports it where it is installed, which fails beside a CPU torch
    import transformers

    transformers.logging.set_verbosity_error()
    return transformers


@pytest.mark.parametrize(
    ("make", "unlike"),
    [
        (bert, []),
        (gpt2, []),
        (llama, ROTARY),
        (t5, []),
        (vit, []),
        (mixtral, [*ROTARY, *ROUTED]),
        (whisper, ["model.encoder.embed_positions"]),
    ],
)
def test_a_transformer_is_recorded_as_zero_probes_see_it_and_trained_as_without(
    make: Callable[[Any], tuple[Any, dict[str, torch.Tensor]]], unlike: list[str], hf: Any
) -> None:
    torch.manual_seed(2)
    model, batch = make(hf)
    verdict = judge(model.train(), lambda recorded: recorded(**batch).loss)
    assert verdict.faults == []
    assert len(verdict.equal) > 18
    others = [name for name in verdict.trace.layers if name not in verdict.equal]
    assert others == unlike
    assert {*others} <= {*verdict.trace.missing}


def test_weights_that_gpt2_ties_are_told_under_both_names(hf: Any) -> None:
    model, batch = gpt2(hf)
    trace = judge(model, lambda recorded: recorded(**batch).loss).trace
    assert trace.model.tied == {"lm_head.weight": "transformer.wte.weight"}
    assert trace.model.layers["transformer.h.0.ln_2"].unseen == ("AddBackward0",)

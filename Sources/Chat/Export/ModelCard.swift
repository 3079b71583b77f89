internal import Engine
internal import Foundation

/// The README of an exported adapter: what it belongs to, and how to load it.
enum ModelCard {
  static func adapter(_ source: ExportSource, baseName: String) -> String {
    let settings = source.adapter?.settings ?? Adapter.Settings()
    var loading = "base = AutoModelForCausalLM.from_pretrained(\"\(baseName)\")"
    var remark = ""
    if case .gguf(let file) = source.checkpoint.source {
      let url = URL(filePath: file.path).standardizedFileURL
      let folder = url.deletingLastPathComponent().path
      remark = """

        The adapter was trained on the quantised weights of a GGUF file, \(url.lastPathComponent). To get the very logits that it was
        trained with, load that file as the base:

            base = AutoModelForCausalLM.from_pretrained("\(folder)", gguf_file="\(url.lastPathComponent)")

        """
    }
    loading = loading.replacing("\n", with: " ")
    return """
      ---
      base_model: \(baseName)
      library_name: peft
      pipeline_tag: text-generation
      tags:
      - lora
      ---

      # \(URL(filePath: source.name).lastPathComponent)

      A LoRA adapter (rank \(settings.rank), alpha \(settings.alpha)) for \(baseName), trained with Hearth.

          from peft import PeftModel
          from transformers import AutoModelForCausalLM

          \(loading)
          model = PeftModel.from_pretrained(base, "path/to/this/folder")
      \(remark)
      """ + "\n"
  }
}

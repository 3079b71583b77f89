internal import Engine
internal import Foundation

/// The README of an exported adapter: what it belongs to, and how to load it.
enum ModelCard {
  static func adapter(_ source: ExportSource, baseName: String) -> String {
    let settings = source.adapter?.settings ?? Adapter.Settings()
    var remark = ""
    if case .gguf = source.checkpoint.source {
      // No path of this machine: these folders are made to be published.
      remark = """

        It was trained on the quantised weights of a GGUF file. To get the very logits it was trained with, load that file as the base:

            base = AutoModelForCausalLM.from_pretrained("path/to/its/folder", gguf_file="model.gguf")

        """
    }
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

          base = AutoModelForCausalLM.from_pretrained("\(baseName)")
          model = PeftModel.from_pretrained(base, "path/to/this/folder")
      \(remark)
      """ + "\n"
  }
}

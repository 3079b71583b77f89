import CKernels
import Testing

@Suite("Activation functions")
struct ActivationFunctionTests {
  @Test("SwiGLU and its gradients are torch's")
  func swiglu() throws {
    for golden in try GoldenCase.load("activations") where golden.name == "swiglu" {
      let count = golden.count("count")
      let (x, up, dy) = (golden["x"], golden["up"], golden["dy"])
      let result = everywhere("SwiGLU") { pool in
        var y = [Float](repeating: 0, count: count)
        var dgate = y, dup = y
        hearth_swiglu(pool, &y, x, up, count)
        hearth_swiglu_backward(pool, &dgate, &dup, dy, x, up, count)
        return y + dgate + dup
      }
      expectClose("y", result[..<count], golden["y"])
      expectClose("dgate", result[count..<2 * count], golden["dx"])
      expectClose("dup", result[(2 * count)...], golden["dup"])
    }
  }

  @Test("Both GELUs and their gradients are torch's", arguments: ["gelu", "gelu_tanh"])
  func gelu(name: String) throws {
    for golden in try GoldenCase.load("activations") where golden.name == name {
      let count = golden.count("count")
      let (x, dy) = (golden["x"], golden["dy"])
      let result = everywhere(name) { pool in
        var y = [Float](repeating: 0, count: count)
        var dx = y
        if name == "gelu" {
          hearth_gelu(pool, &y, x, count)
          hearth_gelu_backward(pool, &dx, dy, x, count)
        } else {
          hearth_gelu_tanh(pool, &y, x, count)
          hearth_gelu_tanh_backward(pool, &dx, dy, x, count)
        }
        return y + dx
      }
      expectClose("y", result[..<count], golden["y"], tolerance: 1e-6)
      expectClose("dx", result[count...], golden["dx"], tolerance: 1e-6)
    }
  }

  @Test("Work shared among workers gives the same bits")
  func shared() {
    let count = 20_011
    var noise = RowNoise(6)
    let x = noise.array(count, scale: 6), up = noise.array(count), dy = noise.array(count)
    _ = everywhere("activations") { pool in
      var y = dy, gradient = up, other = up
      hearth_swiglu(pool, &y, x, up, count)
      hearth_swiglu_backward(pool, &gradient, &other, dy, x, up, count)
      let swiglu = y + gradient + other
      hearth_gelu(pool, &y, x, count)
      hearth_gelu_backward(pool, &gradient, dy, x, count)
      let gelu = y + gradient
      hearth_gelu_tanh(pool, &y, x, count)
      hearth_gelu_tanh_backward(pool, &gradient, dy, x, count)
      return swiglu + gelu + y + gradient
    }
  }
}

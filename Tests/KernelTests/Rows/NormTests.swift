import CKernels
import Testing

@Suite("Norms")
struct NormTests {
  @Test("RMSNorm and its gradients are torch's")
  func rms() throws {
    for golden in try GoldenCase.load("norms") where golden.name == "rms" {
      let (rows, width) = (golden.count("rows"), golden.count("width"))
      let (x, weight, dy) = (golden["x"], golden["weight"], golden["dy"])
      let result = everywhere("RMSNorm") { pool in
        var y = [Float](repeating: 0, count: rows * width)
        var reciprocal = [Float](repeating: 0, count: rows)
        var dx = [Float](repeating: 0, count: rows * width)
        var dweight = [Float](repeating: 0, count: width)
        hearth_rms_norm(
          pool, &y, &reciprocal, x, weight, rows, width, Float(golden.number("epsilon")))
        hearth_rms_norm_backward(pool, &dx, &dweight, dy, x, weight, reciprocal, rows, width)
        return y + dx + dweight
      }
      let size = rows * width
      expectClose("y", result[..<size], golden["y"])
      expectClose("dx", result[size..<2 * size], golden["dx"])
      expectClose("dweight", result[(2 * size)...], golden["dweight"])
    }
  }

  @Test("LayerNorm and its gradients are torch's")
  func layer() throws {
    for golden in try GoldenCase.load("norms") where golden.name == "layer" {
      let (rows, width) = (golden.count("rows"), golden.count("width"))
      let (x, weight, bias, dy) = (golden["x"], golden["weight"], golden["bias"], golden["dy"])
      let result = everywhere("LayerNorm") { pool in
        var y = [Float](repeating: 0, count: rows * width)
        var mean = [Float](repeating: 0, count: rows)
        var reciprocal = mean
        var dx = y
        var dweight = [Float](repeating: 0, count: width)
        var dbias = dweight
        hearth_layer_norm(
          pool, &y, &mean, &reciprocal, x, weight, bias, rows, width,
          Float(golden.number("epsilon")))
        hearth_layer_norm_backward(
          pool, &dx, &dweight, &dbias, dy, x, weight, mean, reciprocal, rows, width)
        return y + dx + dweight + dbias
      }
      let size = rows * width
      expectClose("y", result[..<size], golden["y"])
      expectClose("dx", result[size..<2 * size], golden["dx"])
      expectClose("dweight", result[2 * size..<2 * size + width], golden["dweight"])
      expectClose("dbias", result[(2 * size + width)...], golden["dbias"])
    }
  }

  @Test("Work shared among workers gives the same bits, and gradients add to what is there")
  func shared() {
    let (rows, width) = (31, 577)
    var noise = RowNoise(3)
    let x = noise.array(rows * width), dy = noise.array(rows * width)
    let weight = noise.array(width), bias = noise.array(width), before = noise.array(rows * width)
    _ = everywhere("norms of many rows") { pool in
      var y = before, mean = before, reciprocal = before, dx = before, dweight = bias, dbias = bias
      hearth_layer_norm(pool, &y, &mean, &reciprocal, x, weight, nil, rows, width, 1e-5)
      hearth_layer_norm_backward(
        pool, &dx, &dweight, &dbias, dy, x, weight, mean, reciprocal, rows, width)
      let layer = y + dx + dweight + dbias
      hearth_rms_norm(pool, &y, &reciprocal, x, weight, rows, width, 1e-5)
      hearth_rms_norm_backward(pool, &dx, &dweight, dy, x, weight, reciprocal, rows, width)
      return layer + y + dx + dweight
    }
    withSteadyInstructionSet {
      var y = x, reciprocal = x, first = [Float](repeating: 0, count: width), second = first
      hearth_rms_norm(nil, &y, &reciprocal, x, weight, rows, width, 1e-5)
      hearth_rms_norm_backward(nil, nil, &first, dy, x, weight, reciprocal, rows, width)
      for _ in 0..<2 {
        hearth_rms_norm_backward(nil, nil, &second, dy, x, weight, reciprocal, rows, width)
      }
      expectClose("twice", second, first.map { 2 * $0 }, tolerance: 1e-5)
    }
  }

  @Test("Gradients are slopes")
  func slopes() {
    let (rows, width) = (3, 20)
    var noise = RowNoise(4)
    let x = noise.array(rows * width), dy = noise.array(rows * width)
    let weight = noise.array(width), bias = noise.array(width)
    func rms(_ x: [Float], _ weight: [Float]) -> (y: [Float], r: [Float]) {
      var y = x, r = [Float](repeating: 0, count: rows)
      hearth_rms_norm(nil, &y, &r, x, weight, rows, width, 1e-5)
      return (y, r)
    }
    func layer(_ x: [Float], _ weight: [Float]) -> (y: [Float], m: [Float], r: [Float]) {
      var y = x, m = [Float](repeating: 0, count: rows), r = m
      hearth_layer_norm(nil, &y, &m, &r, x, weight, bias, rows, width, 1e-5)
      return (y, m, r)
    }
    withSteadyInstructionSet {
      var dx = [Float](repeating: 0, count: rows * width)
      var dweight = [Float](repeating: 0, count: width)
      hearth_rms_norm_backward(nil, &dx, &dweight, dy, x, weight, rms(x, weight).r, rows, width)
      expectSlope("rms x", of: { inner(rms($0, weight).y, dy) }, at: x, gradient: dx)
      expectSlope("rms w", of: { inner(rms(x, $0).y, dy) }, at: weight, gradient: dweight)
      dx = dx.map { _ in 0 }
      dweight = dweight.map { _ in 0 }
      let saved = layer(x, weight)
      hearth_layer_norm_backward(
        nil, &dx, &dweight, nil, dy, x, weight, saved.m, saved.r, rows, width)
      expectSlope("layer x", of: { inner(layer($0, weight).y, dy) }, at: x, gradient: dx)
      expectSlope("layer w", of: { inner(layer(x, $0).y, dy) }, at: weight, gradient: dweight)
    }
  }
}

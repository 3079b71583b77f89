internal import CKernels

/// Products in bf16 with sums in f32 that are done in one go: the workers meet once.
///
/// It keeps what the products read alive until they have run.
@safe
struct HalfProducts {
  private var matrices: [hearth_bf16_matrix] = unsafe []
  private var kept: [AnyObject] = []

  /// a·b, where a's columns are summed over.
  @safe
  struct Term {
    let term: hearth_bf16_term
    let owners: [AnyObject]

    /// A product in bf16.
    init(a: HalfTensor, b: hearth_operand, owner: AnyObject) {
      var term = unsafe hearth_bf16_term()
      unsafe (term.a, term.lda, term.b, term.depth) = (UnsafePointer(a.data), a.stride, b, a.columns)
      unsafe (self.term, owners) = (term, [a, owner])
    }

    /// A product in 8 bits, with a matrix that was turned round.
    init(a: IntegerRows, turned: OpaquePointer, owner: AnyObject) {
      unsafe (term, owners) = (hearth_bf16_int8_term(turned, a.data), [a, owner])
    }
  }

  /// What becomes of the sums.
  @safe
  enum Output {
    /// target = scale · sum.
    case float(Tensor, scale: Float = 1)
    /// target = sum + residual.
    case adding(Tensor, residual: Tensor)
    /// target = scale · sum, rounded.
    case half(HalfTensor, scale: Float = 1)
    /// gradient `[rows, lanes]` += sum.
    case gradient(UnsafeMutablePointer<Float>, columns: Int)
    /// Likewise, rounded.
    case halfGradient(HalfGradient)
    /// gradient `[lanes, rows]` += the sums, turned.
    case gradientTurned(UnsafeMutablePointer<Float>, columns: Int)
    /// gate = sum, up = the other sum, y = silu(gate) · up.
    case swiGLU(KeptGates?, upTerms: [Term], y: HalfTensor)
    /// The sum is y's gradient: those of gate and up, which were kept, and y once more.
    case swiGLUBackward(KeptGates, gate: HalfTensor, up: HalfTensor, y: HalfTensor)
  }

  /// Adds a product of `lanes` columns.
  mutating func add(_ terms: [Term], lanes: Int, _ output: Output) {
    var matrix = unsafe hearth_bf16_matrix()
    unsafe (matrix.lanes, matrix.scale) = (lanes, 1)
    precondition(terms.count <= HEARTH_BF16_TERMS, "\(terms.count) terms in one product")
    for term in terms {
      unsafe hearth_bf16_append_term(&matrix, term.term)
      kept += term.owners
    }
    switch output {
    case .float(let y, let scale):
      unsafe (matrix.output, matrix.c, matrix.ldc) = (HEARTH_OUTPUT_F32, UnsafeMutableRawPointer(y.data), y.columns)
      unsafe matrix.scale = scale
      kept.append(y)
    case .adding(let y, let residual):
      unsafe (matrix.output, matrix.c, matrix.ldc) = (HEARTH_OUTPUT_ADD_F32, UnsafeMutableRawPointer(y.data), y.columns)
      unsafe matrix.residual = UnsafePointer(residual.data)
      kept += [y, residual]
    case .half(let y, let scale):
      unsafe (matrix.output, matrix.c, matrix.ldc) = (HEARTH_OUTPUT_BF16, UnsafeMutableRawPointer(y.data), y.stride)
      unsafe matrix.scale = scale
      kept.append(y)
    case .gradient(let gradient, let columns):
      unsafe (matrix.output, matrix.c, matrix.ldc) = (HEARTH_OUTPUT_ADD_F32, UnsafeMutableRawPointer(gradient), columns)
      unsafe matrix.residual = UnsafePointer(gradient)
    case .halfGradient(let gradient):
      let (data, isNew) = unsafe gradient.forAdding()
      unsafe (matrix.c, matrix.ldc) = (UnsafeMutableRawPointer(data), gradient.columns)
      unsafe matrix.output = isNew ? HEARTH_OUTPUT_BF16 : HEARTH_OUTPUT_ADD_BF16
      kept.append(gradient)
    case .gradientTurned(let gradient, let columns):
      unsafe (matrix.output, matrix.c, matrix.ldc) = (
        HEARTH_OUTPUT_ADD_TRANSPOSED, UnsafeMutableRawPointer(gradient), columns
      )
    case .swiGLU(let gates, let upTerms, let y):
      unsafe (matrix.output, matrix.c, matrix.ldc) = (HEARTH_OUTPUT_SWIGLU, UnsafeMutableRawPointer(y.data), y.stride)
      for term in upTerms {
        unsafe hearth_bf16_append_up_term(&matrix, term.term)
        kept += term.owners
      }
      kept.append(y)
      if let gates {
        unsafe gates.place(in: &matrix)
        kept.append(gates)
      }
    case .swiGLUBackward(let gates, let gate, let up, let y):
      unsafe (matrix.output, matrix.c, matrix.ldc) = (
        HEARTH_OUTPUT_SWIGLU_BACKWARD, UnsafeMutableRawPointer(y.data), y.stride
      )
      unsafe gates.place(in: &matrix)
      unsafe (matrix.dgate, matrix.dup) = (gate.data, up.data)
      kept += [gates, gate, up, y]
    }
    unsafe matrices.append(matrix)
  }

  /// Computes all of them.
  ///
  /// - Parameter rows: Of each product.
  func run(rows: Int, _ pool: WorkerPool) {
    guard unsafe !matrices.isEmpty else { return }
    unsafe hearth_bf16_products(pool.pointer, rows, matrices.count, matrices)
    extendLifetime(kept)
  }

  /// Those of several numbers of rows.
  static func run(_ byRows: [Int: HalfProducts], _ pool: WorkerPool) {
    for (rows, products) in byRows { products.run(rows: rows, pool) }
  }
}

/// One linear map in a pass in bf16, with its adapter's pair if it has one.
///
///     y = x·Wᵀ + u·Bᵀ      u = s·x·Aᵀ
///     dx = dy·W + du·A     du = s·dy·B     dA += duᵀ·x     dB += dyᵀ·u     dW += dyᵀ·x
///
/// u and du are rounded to bf16 like all that products read; A, B and the gradients are f32.
struct HalfLinear {
  let linear: Linear
  let pair: LowRankPair?
  /// Whether dy·W, where W is trained, held turned round or to be turned, and dW are in 8 bits.
  let usesIntegers: Bool
  /// Whether all packed matrices are turned round, as the pass has many rows.
  let turnsPacked: Bool
  let pool: WorkerPool
  let workspace: Workspace

  /// The terms of y.
  func terms(_ x: HalfTensor, _ u: HalfTensor?) -> [HalfProducts.Term] {
    var terms = unsafe [
      HalfProducts.Term(a: x, b: linear.weight.operand(overRows: false, pool), owner: linear.weight)
    ]
    if let pair, let u {
      unsafe terms.append(HalfProducts.Term(a: u, b: pair.up.operand(overRows: false, pool), owner: pair.up))
    }
    return terms
  }

  /// The terms of dx.
  func gradientTerms(_ dy: HalfTensor, _ du: HalfTensor?) -> [HalfProducts.Term] {
    var terms = [usesIntegers ? integerBaseTerm(dy) ?? gradientBaseTerm(dy) : gradientBaseTerm(dy)]
    if let pair, let du {
      unsafe terms.append(HalfProducts.Term(a: du, b: pair.down.operand(overRows: true, pool), owner: pair.down))
    }
    return terms
  }

  /// dy·W in bf16.
  func gradientBaseTerm(_ dy: HalfTensor) -> HalfProducts.Term {
    unsafe HalfProducts.Term(a: dy, b: linear.weight.operand(overRows: true, pool), owner: linear.weight)
  }

  /// dy·W in integers, where W is held turned round or is turned for this product.
  private func integerBaseTerm(_ dy: HalfTensor) -> HalfProducts.Term? {
    let weight = linear.weight
    if let turned = unsafe weight.turned {
      return unsafe HalfProducts.Term(a: dy.quantized(pool), turned: turned, owner: weight)
    }
    let columns =
      weight.isTrainable
      ? IntegerColumns(trained: weight, pool, in: workspace)
      : turnsPacked || weight.isTurnedForFewRows ? IntegerColumns(packed: weight, pool, in: workspace) : nil
    guard let columns else { return nil }
    return unsafe HalfProducts.Term(a: dy.quantized(pool), turned: columns.matrix, owner: columns)
  }

  /// Adds the product that gives u.
  func bottleneck(_ x: HalfTensor, to products: inout HalfProducts) -> HalfTensor? {
    guard let pair else { return nil }
    let u = HalfTensor(x.rows, pair.rank, in: workspace)
    unsafe products.add(
      [HalfProducts.Term(a: x, b: pair.down.operand(overRows: false, pool), owner: pair.down)], lanes: pair.rank,
      .half(u, scale: pair.scale))
    return u
  }

  /// Adds the product that gives du.
  func gradientBottleneck(_ dy: HalfTensor, to products: inout HalfProducts) -> HalfTensor? {
    guard let pair else { return nil }
    let du = HalfTensor(dy.rows, pair.rank, in: workspace)
    unsafe products.add(
      [HalfProducts.Term(a: dy, b: pair.up.operand(overRows: true, pool), owner: pair.up)], lanes: pair.rank,
      .half(du, scale: pair.scale))
    return du
  }

  /// Adds the products that add to the gradients of A, B and W.
  func addGradients(
    _ x: HalfTensor, _ dy: HalfTensor, u: HalfTensor?, du: HalfTensor?, to products: inout [Int: HalfProducts]
  ) {
    if let pair, let u, let du {
      if pair.down.isTrainable, let gradient = unsafe pair.down.gradient {
        unsafe products[pair.rank, default: HalfProducts()].add(
          [HalfProducts.Term(a: du.transposed(pool), b: x.operandOverRows, owner: x)], lanes: x.columns,
          .gradient(gradient, columns: x.columns))
      }
      if pair.up.isTrainable, let gradient = unsafe pair.up.gradient {
        unsafe products[pair.rank, default: HalfProducts()].add(
          [HalfProducts.Term(a: u.transposed(pool), b: dy.operandOverRows, owner: dy)], lanes: dy.columns,
          .gradientTurned(gradient, columns: pair.rank))
      }
    }
    if let output = linear.weight.gradientOutput {
      products[dy.columns, default: HalfProducts()].add([gradientTerm(x, dy)], lanes: x.columns, output)
    }
  }

  /// The term of dW.
  private func gradientTerm(_ x: HalfTensor, _ dy: HalfTensor) -> HalfProducts.Term {
    guard usesIntegers else {
      return unsafe HalfProducts.Term(a: dy.transposed(pool), b: x.operandOverRows, owner: x)
    }
    let columns = x.quantizedOverRows(pool)
    return unsafe HalfProducts.Term(a: dy.quantizedColumns(pool), turned: columns.matrix, owner: columns)
  }

  /// Adds to the gradients of A, B and W.
  func addGradients(_ x: HalfTensor, _ dy: HalfTensor, u: HalfTensor?, du: HalfTensor?) {
    var products: [Int: HalfProducts] = [:]
    addGradients(x, dy, u: u, du: du, to: &products)
    HalfProducts.run(products, pool)
  }

  /// The gradients of a map by itself: of x, where it is required, and of W, where x is given.
  func backward(_ dy: HalfTensor, x: Remembered?, into slot: GradientSlot) {
    if slot.isRequired {
      let (dx, accumulate) = slot.forWriting()
      var products = HalfProducts()
      unsafe products.add(
        gradientTerms(dy, nil), lanes: dx.columns, accumulate ? .adding(dx, residual: dx) : .float(dx))
      products.run(rows: dy.rows, pool)
    }
    if let x { addGradients(HalfTensor(rounding: x.value, pool, in: workspace), dy, u: nil, du: nil) }
  }

  /// Whether a gradient of its own is wanted.
  var isTrainable: Bool {
    linear.weight.isTrainable || pair.map { $0.down.isTrainable || $0.up.isTrainable } == true
  }
}

extension Parameter {
  /// Where a product adds to the gradient; nil when there is none.
  fileprivate var gradientOutput: HalfProducts.Output? {
    guard isTrainable else { return nil }
    if let halfGradient { return .halfGradient(halfGradient) }
    return unsafe gradient.map { unsafe .gradient($0, columns: columns) }
  }
}

extension HalfLinear {
  /// From how many rows of a pass on any matrix is turned round: it takes some hundredths of the time of that many.
  static let rowsWorthTurning = 512
}

extension Pass {
  /// The map with what the pass's adapter adds to it; nil where more is wanted than bf16 products do: dropout, DoRA, or an adapter
  /// for some of the rows.
  func halfLinear(_ linear: Linear) -> HalfLinear? {
    var pair: LowRankPair?
    for segment in adapters {
      guard let found = segment.adapter.pairs[ObjectIdentifier(linear)] else { continue }
      guard segment.rows == 0..<positions.count, found.magnitude == nil, found.dropout == 0 || dropout == nil
      else { return nil }
      pair = found
    }
    return halfLinear(linear, with: pair)
  }

  /// The map with a pair, or by itself.
  func halfLinear(_ linear: Linear, with pair: LowRankPair?) -> HalfLinear {
    HalfLinear(
      linear: linear, pair: pair, usesIntegers: precision == .int8,
      turnsPacked: positions.count >= HalfLinear.rowsWorthTurning, pool: pool, workspace: workspace)
  }

  /// Several maps without biases, if all can be computed so.
  func halfLinears(_ linears: [Linear]) -> [HalfLinear]? {
    guard precision.usesHalves, linears.allSatisfy({ $0.bias == nil }) else { return nil }
    let halves = linears.compactMap(halfLinear)
    return halves.count == linears.count ? halves : nil
  }
}

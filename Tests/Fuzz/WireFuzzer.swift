/// libFuzzer's entry: `make fuzz` builds it together with the invariants of the tests.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzWire(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let violations = WireInvariants.violations(Array(UnsafeBufferPointer(start: start, count: count)))
    precondition(violations.isEmpty, violations.joined(separator: "\n"))
    return 0
}

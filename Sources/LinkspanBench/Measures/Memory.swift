internal import CLinkspanFloor
internal import Glibc

@inline(__always)
func memoryEqual(_ one: UnsafeRawPointer, _ other: UnsafeRawPointer, _ count: Int) -> Bool {
    memcmp(one, other, count) == 0
}

/// Whether `text` occurs in `bytes`.
@inline(__always)
func contains(_ bytes: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
    guard let start = bytes.baseAddress else { return false }
    return linkspan_find(start, bytes.count, text.utf8Start, text.utf8CodeUnitCount) != nil
}

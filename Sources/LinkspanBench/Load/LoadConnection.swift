internal import Glibc

/// One client connection. Lives in memory of its ``LoadThread``, which alone touches it.
struct LoadConnection {
    var descriptor: Int32
    /// Index into the run's streams.
    let stream: Int
    let role: Dialect.Role
    /// Steps of the introduction that are done.
    var stepsDone = 0
    var isReady = false
    var check = DeliveryCheck()
    /// The next acknowledgement, as a number of messages.
    var acknowledged: UInt64 = 0
    var unread = ByteStore()
    var unsent = ByteStore()
    var waitsToWrite = false
}

/// Bytes that wait, in memory that stays allocated only while there are any.
struct ByteStore {
    private(set) var start: UnsafeMutableRawPointer?
    private(set) var count = 0
    private var room = 0

    var isEmpty: Bool { self.count == 0 }

    mutating func append(_ bytes: UnsafeRawBufferPointer) {
        guard !bytes.isEmpty else { return }
        if self.count + bytes.count > self.room {
            self.room = (self.count + bytes.count) * 2
            self.start = realloc(self.start, self.room)
        }
        (self.start! + self.count).copyMemory(from: bytes.baseAddress!, byteCount: bytes.count)
        self.count += bytes.count
    }

    mutating func removeFirst(_ count: Int) {
        guard let start = self.start else { return }
        memmove(start, start + count, self.count - count)
        self.count -= count
        if self.count == 0 { self.free() }
    }

    mutating func free() {
        Glibc.free(self.start)
        self.start = nil
        self.count = 0
        self.room = 0
    }
}

internal import CLinkspanFloor
internal import Glibc

/// A child process that ends what a benchmark started, and removes its folders, when the benchmark itself ends: by an error, a crash, ^C or SIGKILL.
final class Caretaker: Sendable {
    /// Of this process; started by whoever asks first.
    static let shared = Caretaker()

    /// -1 when there are no processes left to have; then nobody looks after anything.
    private let descriptor: Int32

    init() {
        self.descriptor = linkspan_caretaker_start()
    }

    /// What it still looks after ends now.
    deinit {
        close(self.descriptor)
    }

    func started(group: pid_t) { linkspan_caretaker_group(self.descriptor, group, 1) }

    func ended(group: pid_t) { linkspan_caretaker_group(self.descriptor, group, 0) }

    func made(folder: String) { linkspan_caretaker_folder(self.descriptor, folder, 1) }

    func removed(folder: String) { linkspan_caretaker_folder(self.descriptor, folder, 0) }
}

internal import ArgumentParser

/// What the exit status of `linkspan` means; the numbers are those of sysexits.h where it has one.
enum ExitStatus: Int32 {
    case success = 0
    /// Something that no other status says.
    case failure = 1
    /// Data is not JSON.
    case badData = 65
    /// The server is not reachable, or went away.
    case unreachable = 69
    /// The address cannot be listened on: in use, not ours, not permitted.
    case cannotListen = 71
    /// A disk buffer cannot be used: its folder, or another process that has it.
    case cannotStore = 73
    /// No answer in time.
    case timedOut = 75
    /// The server said no.
    case refused = 77
    /// The configuration is wrong, or cannot be read.
    case configuration = 78

    var exitCode: ExitCode { ExitCode(self.rawValue) }
}

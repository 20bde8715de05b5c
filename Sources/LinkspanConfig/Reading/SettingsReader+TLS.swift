internal import LinkspanCore

/// `server.tls`, and which ports it is for.
extension SettingsReader {
    /// Nil when there is none, or when it cannot be used; that is reported.
    mutating func certificate(from server: ConfigBlock) -> CertificateFiles? {
        let block = server.block("tls")
        self.checkPorts(of: server, hasCertificate: block.has("certificate") || block.has("key"))
        switch (block.text("certificate"), block.text("key")) {
        case (nil, nil):
            if server.written.contains("tls"), block.written.isEmpty {
                self.report(server.location(of: "tls"), "server.tls: certificate and key are missing")
            }
            return nil
        case (.some, nil):
            self.report(block.location(of: "certificate"), "server.tls: certificate without key")
            return nil
        case (nil, .some):
            self.report(block.location(of: "key"), "server.tls: key without certificate")
            return nil
        case (let certificate?, let key?):
            let files = CertificateFiles(certificate: certificate, key: key)
            self.check(files, in: block)
            return files
        }
    }

    private mutating func check(_ files: CertificateFiles, in block: ConfigBlock) {
        let certificate = self.content(of: "certificate", files.certificate, in: block)
        let key = self.content(of: "key", files.key, in: block)
        guard let certificate, let key, let problem = self.problemOfCertificate(certificate, key) else { return }
        self.report(block.location(of: problem.key), "server.tls: \(problem.key): \(problem.reason)")
    }

    private mutating func content(of name: String, _ path: String, in block: ConfigBlock) -> String? {
        do throws(FileProblem) {
            return try self.readFile(path)
        } catch {
            self.report(block.location(of: name), "server.tls: \(name): cannot read \(path): \(error.reason)")
            return nil
        }
    }

    private mutating func checkPorts(of server: ConfigBlock, hasCertificate: Bool) {
        guard !hasCertificate else { return }
        for block in [server.block("clients")] + server.map("listeners") where block.boolean("tls") == true {
            self.report(
                block.location(of: "tls"), "\(block.path.label): tls needs a certificate",
                hint: "give server.tls.certificate and server.tls.key")
        }
    }
}

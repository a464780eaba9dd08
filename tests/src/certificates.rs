use std::fs;
use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use tempfile::TempDir;

/// An authority that nobody else knows, and what it has signed, as files that are gone with it.
#[derive(Debug)]
pub struct Certificates {
    folder: TempDir,
    server: (String, String),
    authority: String,
}

impl Certificates {
    /// An authority, a certificate of a server at 127.0.0.1, and one of a client.
    ///
    /// # Panics
    ///
    /// If they cannot be made or written.
    #[must_use]
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let signed = |name: &str, purpose| {
            let mut params = CertificateParams::new([name.to_owned()]).unwrap();
            params.extended_key_usages = vec![purpose];
            let key = KeyPair::generate().unwrap();
            let certificate = params.signed_by(&key, &authority).unwrap();
            (certificate.pem(), key.serialize_pem())
        };
        let server = signed("127.0.0.1", ExtendedKeyUsagePurpose::ServerAuth);
        let client = signed("client", ExtendedKeyUsagePurpose::ClientAuth);
        let made = Self {
            folder: tempfile::tempdir().unwrap(),
            server,
            authority: authority.pem(),
        };
        fs::write(made.authority(), &made.authority).unwrap();
        let (certificate, key) = made.client();
        fs::write(certificate, client.0).unwrap();
        fs::write(key, client.1).unwrap();
        made
    }

    /// The authority's certificate.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The client's certificate and its key.
    #[must_use]
    pub fn client(&self) -> (PathBuf, PathBuf) {
        let folder = self.folder.path();
        (folder.join("client.pem"), folder.join("client.key"))
    }

    /// What a server is told that lets in only those whom the authority knows.
    #[must_use]
    pub fn config(&self) -> &'static str {
        "tls { cert_file: \"FILES/server.pem\", key_file: \"FILES/server.key\", ca_file: \"FILES/ca.pem\", verify: true }\n"
    }

    /// The files that [`config`](Self::config) names.
    #[must_use]
    pub fn files(&self) -> Vec<(&'static str, String)> {
        let (certificate, key) = self.server.clone();
        vec![
            ("server.pem", certificate),
            ("server.key", key),
            ("ca.pem", self.authority.clone()),
        ]
    }
}

impl Default for Certificates {
    fn default() -> Self {
        Self::new()
    }
}

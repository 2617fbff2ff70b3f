//! What can go wrong below the commands.

use std::path::PathBuf;

/// An error of the library: lower case, names the thing and the way out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be used.
    #[error("failed to {what} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb: `read`, `write`, `create`.
        what: &'static str,
        /// Which file or folder.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{}{}: {reason}", path.display(), line.map_or(String::new(), |l| format!(":{l}")))]
    Format {
        /// Which file.
        path: PathBuf,
        /// The line, from 1, where one is known.
        line: Option<u64>,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// An argument makes no sense.
    #[error("{0}")]
    Usage(String),
    /// A library that a kernel needs is missing or broken.
    #[error("{0}")]
    Library(String),
    /// The simulator found a mistake in a kernel.
    #[error("{0}")]
    Finding(String),
    /// A kernel or a device declines, with its reason.
    #[error("{0}")]
    Refused(String),
    /// A kernel broke its GPU's context: nothing of this process can use the GPU any more.
    #[error("{0}")]
    Lost(String),
    /// A worker process broke its protocol, crashed or hung.
    #[error("{0}")]
    Worker(String),
}

impl Error {
    /// An [`Error::Io`] for use with `map_err`.
    pub fn io(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { what, path, source }
    }

    /// An [`Error::Format`].
    pub fn format(path: impl Into<PathBuf>, line: Option<u64>, reason: impl Into<String>) -> Error {
        Error::Format { path: path.into(), line, reason: reason.into() }
    }
}

/// Shorthand for results with [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

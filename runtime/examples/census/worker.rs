//! The work that goes to other processes: a context that takes files and gives back their counts.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use hatchery::{Context, Receives, Sends, Starts};
use serde::{Deserialize, Serialize};

use crate::count::{self, Counts};

/// A file to count. Names are bytes: on Unix they need not be text.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    /// Which file of the walk this is, from 0.
    pub(crate) index: u64,
    /// Its path.
    pub(crate) path: Vec<u8>,
}

/// A file counted, or why it could not be.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Done {
    /// The path of the job.
    pub(crate) path: Vec<u8>,
    /// What came of it.
    pub(crate) counts: Result<Counts, String>,
    /// How long it took.
    pub(crate) took: Duration,
}

/// Counts one file after the other for as long as jobs come; returns how many.
///
/// A file that cannot be read is a result like any other. Only `crash` ends the run.
#[hatchery::context]
pub(crate) async fn count_files(
    cx: Context<Starts<()>, Sends<Done>, Receives<Job>>,
    crash: Option<u64>,
) -> hatchery::Result<u64> {
    let mut stream = cx.started(()).await?.open_stream();
    let mut files = 0;
    while let Some(job) = stream.recv().await? {
        if crash == Some(job.index) {
            panic!("asked to by --crash, at file {} ({})", job.index, job.path.escape_ascii());
        }
        stream.send(look_at(job).await).await?;
        files += 1;
    }
    Ok(files)
}

async fn look_at(job: Job) -> Done {
    let start = Instant::now();
    let counts = match count::open(Path::new(OsStr::from_bytes(&job.path))) {
        Ok(file) => count::count(file).await,
        Err(error) => Err(error),
    };
    Done { path: job.path, counts: counts.map_err(|e| count::reason(&e)), took: start.elapsed() }
}

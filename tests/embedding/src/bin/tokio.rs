//! An event base inside a task of tokio, which waits for the base's descriptor by edges.

use std::error::Error;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

const TEST_TIMEOUT: Duration = Duration::from_secs(60);

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { tokio::time::timeout(TEST_TIMEOUT, run()).await? })
}

async fn run() -> Result<(), Box<dyn Error>> {
    let (mut base, mut app, thread) = embedding::start()?;
    embedding::add_outside(&mut base)?;
    let mut base = AsyncFd::with_interest(base, Interest::READABLE)?;
    loop {
        let wait = base.get_mut().next_wait();
        let timeout = async {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        let is_readable = tokio::select! {
            readable = base.readable() => { drop(readable?); true }
            () = timeout => false,
        };
        let turn = base.get_mut().turn(&mut app)?;
        if turn.end.is_some() {
            break;
        }
        if is_readable && turn.calls == 0 {
            clear_unless_ready(&mut base);
        }
    }
    thread.join().expect("the thread does not panic")?;
    Ok(embedding::check(&app)?)
}

/// Waits for an edge from now on, unless the descriptor is readable still.
fn clear_unless_ready<T: std::os::fd::AsRawFd>(base: &mut AsyncFd<T>) {
    let _ = base.try_io(Interest::READABLE, |_| -> std::io::Result<()> {
        Err(std::io::ErrorKind::WouldBlock.into())
    });
}

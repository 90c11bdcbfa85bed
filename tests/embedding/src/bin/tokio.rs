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
    #[expect(deprecated, reason = "its successor wants a promise: the descriptor stays this one")]
    let mut base = AsyncFd::with_interest(base, Interest::READABLE)?;
    loop {
        let wait = base.get_mut().next_wait().unwrap_or(Duration::MAX);
        let turn = match tokio::time::timeout(wait, base.readable_mut()).await {
            Ok(guard) => {
                let mut guard = guard?;
                let turn = guard.get_inner_mut().turn(&mut app)?;
                if turn.calls == 0 {
                    guard.clear_ready(); // nothing was ready: wait for the next edge
                }
                turn
            }
            Err(_) => base.get_mut().turn(&mut app)?,
        };
        if turn.end.is_some() {
            break;
        }
    }
    thread.join().expect("the thread does not panic")?;
    Ok(embedding::check(&app)?)
}

//! A program whose `main` does not begin with `hatchery::init()`: as a root it cannot start its own
//! image, and as a child it never takes its place.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what it prints is its result")]

fn main() -> std::process::ExitCode {
    let ended = hatchery::run(hatchery::open_nursery(async |nursery| {
        nursery.start_actor("child").await?;
        Ok::<_, hatchery::Error>(())
    }));
    match ended {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            eprintln!("{error}");
            std::process::ExitCode::from(3)
        }
    }
}

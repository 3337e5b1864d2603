//! What the daemon serves and the client asks: the part that both programs have.

/// What a word means. The name is part of what both agree on: without it, it would be the path within
/// either program.
#[hatchery::endpoint(name = "dictionary::meaning")]
pub async fn meaning(word: String) -> Option<String> {
    let meaning = match word.as_str() {
        "actor" => "one process that runs one async runtime",
        "nursery" => "a block that ends when all that was started in it has",
        "portal" => "a handle to an actor, to run things there",
        _ => return None,
    };
    Some(meaning.to_owned())
}

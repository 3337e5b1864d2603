//! Settings of single actors: environment, folder, arguments, titles (SPN-03, SPN-16, SPN-17).

use hatchery::{Error, ErrorKind, Nursery, Portal, Result, open_nursery};
use hatchery_tests::procfs::{self, Process};

#[hatchery::endpoint]
async fn variable(name: String) -> Option<String> {
    std::env::var(name).ok()
}

#[hatchery::endpoint]
async fn folder() -> Result<String> {
    let folder = std::env::current_dir().map_err(Error::new)?;
    Ok(folder.to_string_lossy().into_owned())
}

#[hatchery::endpoint]
async fn arguments() -> Vec<String> {
    std::env::args().collect()
}

/// The actor's own name in the system, and its child's.
#[hatchery::endpoint]
async fn titles() -> Result<(String, String)> {
    open_nursery(async |nursery: Nursery| {
        let below = nursery.start_actor("below").await?;
        let title = title(below.id().pid);
        below.cancel().await?;
        Ok((title_of_this(), title))
    })
    .await
}

fn title(pid: u32) -> String {
    Process::of(pid.cast_signed()).expect("it lives").command_line()
}

fn title_of_this() -> String {
    title(std::process::id())
}

#[hatchery::test]
async fn spn_16_an_actor_has_an_environment_and_a_folder_of_its_own() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let set = nursery.actor("set").env("SETTINGS_COLOUR", "green").env_remove("PATH");
        let set = set.current_dir("/").start().await?;
        assert_eq!(set.run(variable("SETTINGS_COLOUR".into())).await?.as_deref(), Some("green"));
        assert_eq!(set.run(variable("PATH".into())).await?, None);
        assert_eq!(set.run(folder()).await?, "/");
        // A sibling has what this process has.
        let plain = nursery.start_actor("plain").await?;
        assert_eq!(plain.run(variable("SETTINGS_COLOUR".into())).await?, None);
        assert_eq!(plain.run(variable("PATH".into())).await?, std::env::var("PATH").ok());
        assert_eq!(plain.run(folder()).await?, folder().await?);
        nursery.cancel();
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn spn_16_the_last_word_on_a_variable_counts_and_the_librarys_own_cannot_be_set() -> Result<()>
{
    open_nursery(async |nursery: Nursery| {
        let twice = nursery.actor("twice").env("SETTINGS_COLOUR", "green");
        let twice = twice.env_remove("SETTINGS_COLOUR").env("SETTINGS_COLOUR", "blue");
        let twice = twice.env("HATCHERY_NAME", "another").env_remove("HATCHERY_ACTOR");
        let twice = twice.start().await?;
        assert_eq!(twice.id().name, "twice");
        assert_eq!(twice.run(variable("SETTINGS_COLOUR".into())).await?.as_deref(), Some("blue"));
        twice.cancel().await
    })
    .await
}

#[hatchery::test]
async fn spn_16_a_folder_that_cannot_be_entered_is_a_spawn_error() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let lost = nursery.actor("lost").current_dir("/no/such/folder").start().await;
        let error = lost.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Spawn, "{error:?}");
        assert!(error.to_string().contains("lost"), "{error}");
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn spn_16_arguments_are_handed_on_as_they_are() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let actor = nursery.actor("actor").arg("--colour").arg("a b").start().await?;
        let given = actor.run(arguments()).await?;
        assert_eq!(given[1..], ["--colour", "a b"], "{given:?}");
        actor.cancel().await
    })
    .await
}

#[hatchery::test]
async fn spn_17_an_actors_title_names_it_from_its_start_to_its_end() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let actor: Portal = nursery.start_actor("über all").await?;
        assert_eq!(title(actor.id().pid).trim_end(), "hatchery: über all");
        let (own, below) = actor.run(titles()).await?;
        assert_eq!((own.trim_end(), below.trim_end()), ("hatchery: über all", "hatchery: below"));
        assert!(!title_of_this().starts_with("hatchery:"), "a root keeps its own");
        // A zombie has no command line, but keeps its short name.
        let known = Process::of(actor.id().pid.cast_signed()).expect("it lives");
        assert_eq!(known.name, "über all");
        actor.cancel().await
    })
    .await
}

#[hatchery::test]
async fn spn_03_an_actor_that_is_up_is_a_child_of_this_process_and_known_by_its_id() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let actor = nursery.start_actor("actor").await?;
        let known = Process::of(actor.id().pid.cast_signed()).expect("it lives");
        assert_eq!(known.parent, procfs::own_pid());
        assert_eq!((actor.id().name.as_str(), actor.id().uuid != 0), ("actor", true));
        actor.cancel().await?;
        assert!(
            Process::of(known.pid).is_none_or(|now| !now.is(&known)),
            "reaped before it is told"
        );
        Ok(())
    })
    .await
}

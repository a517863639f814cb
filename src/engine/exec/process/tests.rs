//! Real processes: what they get, what they leave, how they end.
#![allow(clippy::unwrap_used)]

use std::fs;

use super::*;
use crate::exec::Overrides;
use crate::fields::Fields;
use crate::stop;

fn unlimited() -> (stop::Stopper, RunLimits) {
    let (stopper, stop) = stop::pair().unwrap();
    (stopper, RunLimits { deadline: None, stop })
}

fn exec(value: serde_json::Value) -> Exec {
    Exec::default().with(&Overrides::read(Fields::new("exec", value).unwrap()).unwrap())
}

fn script(exec: &Exec, script: &str, stdin: Option<&str>) -> Finished {
    let (_stopper, limits) = unlimited();
    run(exec, script, stdin, &BTreeMap::new(), &limits)
}

/// Whether this process number is still somebody's. A zombie counts.
fn exists(pid: &str) -> bool {
    fs::exists(format!("/proc/{pid}")).unwrap()
}

/// Waits until a process is gone: whoever adopted it reaps it a moment later.
#[expect(clippy::disallowed_methods, reason = "the pause between two looks")]
fn wait_until_gone(pid: &str) {
    let begin = Instant::now();
    while exists(pid) && !fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default().contains(") Z ")
    {
        assert!(begin.elapsed() < Duration::from_secs(30), "process {pid} is still there");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn both_streams_are_one_output_in_order() {
    let finished = script(&Exec::default(), "echo a; echo b >&2; echo c", None);
    assert_eq!((finished.ending, finished.output.text.as_str()), (Ending::Exit(0), "a\nb\nc"));
}

#[test]
fn the_default_shell_stops_at_a_failure_within_a_pipe() {
    let finished = script(&Exec::default(), "false | true; echo reached", None);
    assert_eq!((finished.ending, finished.output.text.as_str()), (Ending::Exit(1), ""));
}

#[test]
fn the_end_by_a_signal_is_told_from_a_status() {
    assert_eq!(script(&Exec::default(), "kill -9 $$", None).ending, Ending::Signal(9));
    assert_eq!(script(&Exec::default(), "exit 7", None).ending, Ending::Exit(7));
}

#[test]
fn input_larger_than_a_pipe_goes_in_while_output_comes_out() {
    let text = "x".repeat(300_000);
    let finished = script(&Exec::default(), "cat; echo end", Some(&text));
    assert_eq!(finished.output.text.len(), text.len() + "end".len());
    // Who does not read it, does not have to.
    assert!(script(&Exec::default(), "exec 0<&-; true", Some(&text)).ending.is_success());
}

#[test]
fn without_input_a_script_reads_nothing_at_once() {
    assert_eq!(script(&Exec::default(), "cat; echo end", None).output.text, "end");
}

#[test]
fn of_long_output_head_and_tail_are_kept() {
    let text = "echo first; head -c 3000000 /dev/zero | tr '\\0' x; echo; echo THE-REASON >&2; exit 3";
    let finished = script(&Exec::default(), text, None);
    assert_eq!(finished.ending, Ending::Exit(3));
    let text = &finished.output.text;
    assert!(text.starts_with("first\nxxx") && text.ends_with("xxx\nTHE-REASON"), "{:?}", &text[..20]);
    let written = 3_000_000 + "first\n\nTHE-REASON\n".len() as u64;
    let kept = text.matches('x').count() as u64;
    assert_eq!(finished.output.cut_bytes, 3_000_000 - kept);
    assert!(text.contains(&format!("\n[… {} bytes left out …]\n", finished.output.cut_bytes)));
    assert!(written - finished.output.cut_bytes <= MAX_OUTPUT_BYTES as u64);
    assert!(kept > MAX_OUTPUT_BYTES as u64 - 1000);
}

#[test]
fn bytes_that_are_no_text_are_shown() {
    assert_eq!(script(&Exec::default(), "printf 'a\\377b'", None).output.text, "a\\xffb");
}

#[test]
fn variables_of_the_run_win_and_the_environment_can_be_closed() {
    let (_stopper, limits) = unlimited();
    let exec = exec(serde_json::json!({"env": {"A": "exec", "B": "exec"}, "envInherit": false}));
    let variables = BTreeMap::from([("B".to_owned(), "run".to_owned())]);
    let finished = run(&exec, "echo $A $B ${HOME:-none} ${CARGO:-none}", None, &variables, &limits);
    assert_eq!(finished.output.text, "exec run none none");
}

#[test]
fn what_cannot_start_says_why() {
    let missing = script(&exec(serde_json::json!({"command": "/no/such/program"})), "x", None);
    assert!(matches!(&missing.ending, Ending::NotStarted(why) if why.starts_with("/no/such/program: ")));
    let nowhere = script(&exec(serde_json::json!({"workDir": "/no/such"})), "true", None);
    assert_eq!(nowhere.ending, Ending::NotStarted("`workDir` /no/such is no directory".to_owned()));
    let nobody = script(&exec(serde_json::json!({"user": "no-such-user"})), "true", None);
    let why = "user `no-such-user` does not exist on this host";
    assert_eq!(nobody.ending, Ending::NotStarted(why.to_owned()));
}

#[test]
fn the_directory_is_the_one_given() {
    assert_eq!(script(&exec(serde_json::json!({"workDir": "/"})), "pwd", None).output.text, "/");
}

#[test]
fn a_script_leads_a_session_without_a_terminal() {
    let text =
        "ps -o sid=,pgid= -p $$ | tr -s ' ' | sed \"s/$$/own/g\"; (: < /dev/tty) 2>&1 | grep -o 'No such.*'";
    let finished = script(&Exec::default(), text, None);
    assert_eq!(finished.output.text, "own own\nNo such device or address");
}

#[test]
fn a_script_gets_three_descriptors_and_the_usual_umask() {
    // The first is the directory that is being listed.
    let finished = script(&Exec::default(), "exec ls /proc/self/fd", None);
    assert_eq!(finished.output.text, "0\n1\n2\n3");
    assert_eq!(script(&Exec::default(), "umask", None).output.text, "0022");
}

#[test]
fn a_descriptor_that_a_library_left_open_does_not_reach_a_script() {
    let (reader, _writer) = io::pipe().unwrap();
    rustix::io::fcntl_setfd(&reader, rustix::io::FdFlags::empty()).unwrap();
    assert_eq!(script(&Exec::default(), "exec ls /proc/self/fd", None).output.text, "0\n1\n2\n3");
}

#[test]
fn what_loads_code_does_not_load_it_into_the_child_of_the_engine() {
    let exec = exec(serde_json::json!({"env": {"LD_PRELOAD": "/no/such/library.so"}}));
    let text = script(&exec, "echo done", None).output.text;
    // Bash complains, and only Bash: the child between would have done so, too.
    assert_eq!(text.matches("/no/such/library.so").count(), 1, "{text}");
    assert!(text.ends_with("done"));
}

#[test]
fn a_user_brings_its_groups_and_its_home() {
    let text = "id -un; id -G; echo $HOME $USER $LOGNAME $SHELL";
    let finished = script(&exec(serde_json::json!({"user": "nobody"})), text, None);
    if geteuid().is_root() {
        let of_system = std::process::Command::new("id").args(["-G", "nobody"]).output().unwrap();
        let groups = String::from_utf8(of_system.stdout).unwrap();
        let user = uzers::get_user_by_name("nobody").unwrap();
        let (home, shell) = {
            use uzers::os::unix::UserExt as _;
            (user.home_dir().display().to_string(), user.shell().display().to_string())
        };
        let expected = format!("nobody\n{groups}{home} nobody nobody {shell}");
        assert_eq!(finished.output.text, expected);
    } else {
        assert!(matches!(&finished.ending, Ending::NotStarted(why) if why.contains("only root")));
    }
}

#[test]
fn what_the_settings_say_of_a_user_is_kept() {
    if geteuid().is_root() {
        let exec = exec(serde_json::json!({"user": "nobody", "env": {"HOME": "/srv"}}));
        assert_eq!(script(&exec, "echo $HOME $USER", None).output.text, "/srv nobody");
    }
}

#[test]
fn a_user_that_has_a_number_but_no_account_needs_a_group() {
    let alone = script(&exec(serde_json::json!({"user": 54321})), "id -G", None);
    let why = "user 54321 has no account on this host, so its group is unknown; set `group`, too";
    assert_eq!(alone.ending, Ending::NotStarted(why.to_owned()));
    if geteuid().is_root() {
        let both = script(&exec(serde_json::json!({"user": 54321, "group": 54322})), "id -u; id -G", None);
        assert_eq!(both.output.text, "54321\n54322");
    }
}

#[test]
fn a_script_that_is_too_long_says_what_to_do() {
    let long = "#".repeat(200_000);
    let why = "the script, or another word of its command line, is longer than the system takes (128 KiB)";
    assert_eq!(script(&Exec::default(), &long, None).ending, Ending::NotStarted(why.to_owned()));
    let (_stopper, limits) = unlimited();
    let variables = BTreeMap::from([("BODY".to_owned(), long)]);
    let finished = run(&Exec::default(), "true", None, &variables, &limits);
    let why = "the variable `BODY` is longer than the system takes (128 KiB)";
    assert_eq!(finished.ending, Ending::NotStarted(why.to_owned()));
}

#[test]
fn a_deadline_ends_the_whole_group_also_what_ignores_the_first_signal() {
    let (_stopper, mut limits) = unlimited();
    limits.deadline = Some(Instant::now() + Duration::from_millis(300));
    let finished = run(
        &Exec::default(),
        "sleep 1000 & echo $!; bash -c 'trap \"\" TERM; sleep 1000; sleep 1000' & echo $!; trap '' TERM; wait; wait",
        None,
        &BTreeMap::new(),
        &limits,
    );
    assert_eq!(finished.ending, Ending::TimedOut);
    assert!(finished.duration < Duration::from_secs(20), "{:?}", finished.duration);
    let pids: Vec<_> = finished.output.text.lines().collect();
    assert_eq!(pids.len(), 2, "{}", finished.output.text);
    pids.into_iter().for_each(wait_until_gone);
}

#[test]
fn what_a_shell_started_may_end_in_order_though_the_shell_ended_at_once() {
    let (_stopper, mut limits) = unlimited();
    limits.deadline = Some(Instant::now() + Duration::from_millis(300));
    let inner = "trap 'sleep 0.3; echo cleaned up; exit' TERM; while :; do sleep 0.05; done";
    let outer = format!("bash -c \"{inner}\"; true");
    let finished = run(&Exec::default(), &outer, None, &BTreeMap::new(), &limits);
    assert_eq!((finished.ending, finished.output.text.contains("cleaned up")), (Ending::TimedOut, true));
}

#[test]
fn a_stop_ends_a_script_and_lets_no_other_start() {
    let (stopper, limits) = unlimited();
    let waiting = std::thread::spawn(move || {
        let first = run(&Exec::default(), "sleep 1000", None, &BTreeMap::new(), &limits);
        (first, run(&Exec::default(), "echo started", None, &BTreeMap::new(), &limits))
    });
    drop(stopper);
    let (first, second) = waiting.join().unwrap();
    assert_eq!((first.ending, second.ending), (Ending::Stopped, Ending::Stopped));
    assert_eq!(second.output.text, "");
}

#[test]
fn a_process_left_in_the_background_does_not_hold_up_the_run() {
    let finished = script(&Exec::default(), "sleep 1000 & echo $!", None);
    assert!(finished.ending.is_success());
    assert!(finished.duration < Duration::from_secs(20));
    let pid = finished.output.text;
    assert!(exists(&pid));
    kill_process_group_of(&pid);
    wait_until_gone(&pid);
}

/// Ends the only process that the test before left running.
fn kill_process_group_of(pid: &str) {
    let pid = Pid::from_raw(pid.parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::KILL).unwrap();
}

#[test]
fn a_script_that_never_stops_writing_meets_its_deadline() {
    let (_stopper, mut limits) = unlimited();
    // Time enough for more than is kept, also where the machine has other things to do.
    limits.deadline = Some(Instant::now() + Duration::from_secs(2));
    let finished = run(&Exec::default(), "yes", None, &BTreeMap::new(), &limits);
    assert_eq!(finished.ending, Ending::TimedOut);
    assert!(finished.output.cut_bytes > 0);
}

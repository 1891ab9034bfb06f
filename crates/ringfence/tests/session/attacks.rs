//! What a guest can do to the driver that speaks for it: all of it is the guest's memory.

use std::time::Duration;

use super::{LATE, ended, eval, session, timed, turn};

#[test]
fn attack_results_that_are_none_poison_the_session_and_nothing_else() {
    for source in ["0", "1", "2", "3", "4", "5", "6", "7", "8"] {
        let session = session("");
        let result = eval(&session, source);
        assert_eq!("trapped poisoned", ended(&result), "{source}");
        assert!(result.trap.is_some_and(|trap| trap.contains("guest ABI")), "{source}");
        assert!(session.eval(turn("n", "")).is_err());
    }
}

#[test]
fn attack_scribbled_interrupt_words_only_cost_the_guest_its_notice() {
    let session = session("");
    // The words were read when the session was opened: what the guest writes over them later is not read.
    let (result, took) = timed(&session, "Z", r#""wall": 0.2"#);
    assert_eq!("limited wall", ended(&result));
    assert!(took < Duration::from_millis(200) + LATE, "{took:?}");
}

#[test]
fn attack_turn_inside_a_turn_is_the_guests_own_affair() {
    let session = session("");
    assert_eq!("raised", ended(&eval(&session, "EEEEe")));
    assert_eq!("returned", ended(&eval(&session, "n")));
}

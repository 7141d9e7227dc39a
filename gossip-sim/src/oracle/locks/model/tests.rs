use super::*;

/// Statements that follow one another at seconds, and what they show.
#[derive(Default)]
struct Tale {
    statements: Vec<Statement<u32>>,
    doubts: Vec<Doubt>,
    recoveries: Vec<u64>,
}

const SECOND: u64 = 1_000_000;

/// Counts on it for so many seconds from the start, and nothing is forgotten.
fn until(seconds: u64) -> Trust {
    Trust { until: seconds * SECOND, lost: u64::MAX }
}

fn granted(token: u32, trust: Trust) -> Said<u32> {
    Said::Granted { token, trust, ends: u64::MAX }
}

/// The holder gives it up, or its life ends, then.
fn given_up(token: u32, trust: Trust, at: u64) -> Said<u32> {
    Said::Granted { token, trust, ends: at * SECOND }
}

impl Tale {
    fn says(mut self, node: u32, from: u64, to: u64, said: Said<u32>) -> Self {
        self.statements.push(Statement { node, invoked: from * SECOND, completed: to * SECOND, said });
        self
    }

    fn doubts(mut self, node: u32, from: u64) -> Self {
        self.doubts.push(Doubt { node, invoked: from * SECOND });
        self
    }

    fn recovers(mut self, at: u64) -> Self {
        self.recoveries.push(at * SECOND);
        self
    }

    fn judge(&self) -> Verdict {
        let (statements, doubts) = (self.statements.clone(), self.doubts.clone());
        Testimony { statements, doubts, recoveries: self.recoveries.clone(), tokens_grow: true }.judge()
    }

    fn holds(&self) {
        assert_eq!(self.judge(), Verdict::Explained);
    }

    fn fails(&self) {
        let verdict = self.judge();
        assert!(matches!(verdict, Verdict::Contradiction(_)), "{verdict:?}");
    }
}

#[test]
fn one_after_the_other() {
    Tale::default()
        .says(1, 0, 1, granted(1, until(9)))
        .says(2, 2, 3, Said::Busy)
        .says(3, 2, 3, Said::Status { holder: Some((1, 1)) })
        .says(1, 4, 5, Said::Extended { token: 1, trust: until(14) })
        .says(1, 10, 11, Said::Released { token: 1 })
        .says(2, 11, 12, Said::Status { holder: None })
        .says(2, 12, 13, granted(2, until(20)))
        .holds();
}

#[test]
fn nobody_gets_what_another_one_holds() {
    let tale = |second| Tale::default().says(1, 0, 1, granted(1, until(9))).says(2, 2, second, granted(2, until(20)));
    tale(8).fails();
    tale(9).holds();
}

#[test]
fn an_extension_counts_as_soon_as_it_is_told() {
    let tale = |from| {
        Tale::default()
            .says(1, 0, 1, granted(1, until(4)))
            .says(1, 2, 3, Said::Extended { token: 1, trust: until(9) })
            .says(2, from, from + 1, granted(2, until(30)))
    };
    tale(4).fails();
    tale(7).fails();
    tale(9).holds();
}

#[test]
fn a_shorter_extension_shortens_nothing() {
    Tale::default()
        .says(1, 0, 1, granted(1, until(9)))
        .says(1, 2, 3, Said::Extended { token: 1, trust: until(4) })
        .says(2, 5, 6, granted(2, until(30)))
        .fails();
}

#[test]
fn what_has_ended_cannot_be_extended() {
    Tale::default()
        .says(1, 0, 1, granted(1, until(4)))
        .says(2, 5, 6, granted(2, until(9)))
        .says(1, 7, 8, Said::Extended { token: 1, trust: until(20) })
        .fails();
    // Both at the same time: the extension came first, and the lock ended by itself all the same.
    Tale::default()
        .says(1, 0, 1, granted(1, until(4)))
        .says(2, 5, 9, granted(2, until(12)))
        .says(1, 5, 8, Said::Extended { token: 1, trust: until(6) })
        .holds();
}

#[test]
fn whoever_gives_it_up_or_ends_lets_others_in() {
    let tale = |ends| Tale::default().says(1, 0, 1, given_up(1, until(20), ends)).says(2, 3, 4, granted(2, until(9)));
    tale(4).holds();
    tale(5).fails();
}

#[test]
fn too_many_lives_that_end_excuse_the_loss_until_it_is_told_anew() {
    let trust = |until, lost| Trust { until: until * SECOND, lost: lost * SECOND };
    Tale::default().says(1, 0, 1, granted(1, trust(20, 3))).says(2, 2, 4, granted(2, until(30))).holds();
    Tale::default()
        .says(1, 0, 1, granted(1, trust(20, 5)))
        .says(1, 1, 2, Said::Extended { token: 1, trust: trust(22, 15) })
        .says(2, 6, 7, granted(2, until(30)))
        .fails();
}

#[test]
fn a_lock_that_has_to_hold_is_not_said_to_be_lost() {
    let tale = |from, said| Tale::default().says(1, 0, 1, granted(1, until(9))).says(2, from, from + 1, said);
    for said in [Said::NotHeld { token: 1 }, Said::Status { holder: None }] {
        tale(2, said).fails();
        tale(9, said).holds();
    }
}

#[test]
fn a_lock_is_busy_only_if_somebody_may_have_it() {
    Tale::default().says(1, 0, 1, Said::Busy).fails();
    Tale::default().doubts(2, 0).says(1, 0, 1, Said::Busy).holds();
    Tale::default().doubts(2, 2).says(1, 0, 1, Said::Busy).fails();
    // Somebody waits, and is told later.
    Tale::default().says(1, 0, 1, Said::Busy).says(2, 0, 9, granted(1, until(20))).holds();
    Tale::default()
        .says(1, 0, 1, granted(1, until(20)))
        .says(1, 2, 3, Said::Released { token: 1 })
        .says(2, 4, 5, Said::Busy)
        .fails();
}

#[test]
fn a_holder_that_nobody_knows_of_has_asked() {
    let tale = |node| Tale::default().doubts(node, 0).says(1, 1, 2, Said::Status { holder: Some((3, 7)) });
    tale(3).holds();
    tale(2).fails();
    // It was granted under one token, and again under another one, of which the holder was told.
    Tale::default().says(3, 0, 9, granted(8, until(20))).says(1, 1, 2, Said::Status { holder: Some((3, 7)) }).holds();
    // Nobody may be among the unknown while somebody has to have it.
    Tale::default()
        .doubts(3, 0)
        .says(2, 0, 1, granted(1, until(9)))
        .says(1, 2, 3, Said::Status { holder: Some((3, 7)) })
        .fails();
}

#[test]
fn who_has_it_is_not_said_of_a_former_holder() {
    Tale::default()
        .says(1, 0, 1, granted(1, until(4)))
        .says(2, 5, 6, granted(2, until(20)))
        .says(3, 7, 8, Said::Status { holder: Some((1, 1)) })
        .fails();
}

#[test]
fn a_new_leader_may_have_heard_of_a_former_holder_alone() {
    let tale = |holder, at| {
        Tale::default().says(1, 0, 1, granted(1, until(4))).says(2, 5, 6, granted(2, until(9))).recovers(at).says(
            3,
            10,
            11,
            Said::Status { holder: Some((1, holder)) },
        )
    };
    tale(1, 8).holds();
    tale(1, 12).fails();
    tale(3, 8).fails();
    // Not while somebody has to have it.
    Tale::default()
        .says(1, 0, 1, granted(1, until(4)))
        .says(2, 5, 6, granted(2, until(19)))
        .recovers(8)
        .says(3, 10, 11, Said::Status { holder: Some((1, 1)) })
        .fails();
}

#[test]
fn later_grants_have_greater_tokens() {
    let tale = Tale::default().says(1, 0, 1, granted(2, until(4))).says(2, 5, 6, granted(1, until(9)));
    tale.fails();
    let (statements, doubts) = (tale.statements, tale.doubts);
    assert_eq!(
        Testimony { statements, doubts, recoveries: Vec::new(), tokens_grow: false }.judge(),
        Verdict::Explained
    );
    // At the same time the tokens say who was first, and so who has it.
    let both = |ends| Tale::default().says(1, 0, 9, granted(2, until(30))).says(2, 0, 4, given_up(1, until(30), ends));
    both(10).fails();
    both(5).holds();
}

#[test]
fn a_token_that_comes_twice_is_found() {
    Tale::default().says(1, 0, 1, given_up(1, until(4), 1)).says(2, 2, 3, granted(1, until(9))).fails();
}

#[test]
fn hundreds_that_wait_at_once_are_told_in_any_order() {
    let mut tale = Tale::default();
    for round in 0..40_u32 {
        let start = u64::from(round) * 100;
        for node in 0..8_u32 {
            let ends = start + 10 * u64::from(node) + 5;
            let token = round * 8 + node + 1;
            tale = tale.says(node, start, ends, given_up(token, until(start + 99), ends));
            tale = tale.says(node, ends, ends + 1, Said::Released { token });
        }
    }
    tale.holds();
    // The last holder is there still when somebody is told that nobody is.
    let token = 40 * 8 + 1;
    tale.says(1, 5_000, 5_001, granted(token, until(6_000)))
        .says(2, 5_002, 5_003, Said::Status { holder: None })
        .fails();
}

#[test]
fn what_contradicts_is_named() {
    let verdict = Tale::default().says(1, 0, 1, granted(1, until(9))).says(2, 2, 3, granted(2, until(20))).judge();
    let told = "no order explains it: after 1 of 2 statements 1 has to hold until 9.000000 s, and \
                node 2 got it as 2 until 20.000000 s (2.000000 s to 3.000000 s)";
    assert_eq!(verdict, Verdict::Contradiction(told.to_owned()));
}

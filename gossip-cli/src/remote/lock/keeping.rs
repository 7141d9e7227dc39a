//! A lock is acquired, a command runs under it, and is stopped before others may have the lock.

use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{Instant, sleep_until, timeout};

use super::group::{Group, code_of};
use super::{SLACK, millis};
use crate::args::LockArgs;
use crate::control::client::{Client, row};
use crate::control::protocol::{LockEvent, LockSay, Reply, Request, TokenRow};
use crate::exit::Failure;
use crate::signals::PassedSignals;

/// How long it is waited for that the lock is released. The agent goes on without this command.
const RELEASE_PATIENCE: Duration = Duration::from_secs(5);
/// The agent is asked how long the lock lasts so often in the time for which it is asked for.
const LOOKS: u32 = 8;
/// No more often than this.
const SHORTEST_LOOK: Duration = Duration::from_millis(20);

pub(super) async fn run(args: LockArgs) -> Result<(), Failure> {
    if args.remote.timeout.is_zero() {
        let reason = "--timeout 0 leaves no time for an answer; to take the lock only if nobody has it, give --try";
        return Err(Failure::usage(reason));
    }
    if args.grace() > args.ttl / 2 {
        return Err(Failure::usage(format!(
            "--grace {} is too long for --ttl {}: at most half of it",
            humantime::format_duration(args.grace()),
            humantime::format_duration(args.ttl)
        )));
    }
    let mut signals = PassedSignals::listen().map_err(Failure::failed)?;
    let acquiring = async {
        let mut lock = Lock::acquire(&args).await?;
        lock.look().await?;
        Ok::<_, Failure>(lock)
    };
    let mut lock = tokio::select! {
        lock = acquiring => lock?,
        signal = signals.next() => return Err(Failure::Ended(ended_by(signal))),
    };
    let TokenRow { pool, token, term, count } = &lock.token;
    let variables = [
        ("GOSSIP_LOCK_POOL", pool.clone()),
        ("GOSSIP_LOCK_KEY", args.key.clone()),
        ("GOSSIP_LOCK_TOKEN", token.clone()),
        ("GOSSIP_LOCK_TERM", term.clone()),
        ("GOSSIP_LOCK_COUNT", count.clone()),
    ];
    let mut group = Group::start(&args.command, &variables)?;
    match lock.kept(&mut group, &mut signals).await? {
        Kept::ToTheEnd(status) => {
            lock.release().await;
            match code_of(status) {
                0 => Ok(()),
                code => Err(Failure::Ended(code)),
            }
        }
        Kept::NotBeyond { deadline, reason } => {
            group.stop(deadline).await;
            Err(Failure::Lost(format!("{reason}; the command was stopped")))
        }
    }
}

fn ended_by(signal: Signal) -> u8 {
    u8::try_from(128 + signal.as_raw()).unwrap_or(u8::MAX)
}

/// How long the lock was kept.
#[derive(Debug)]
enum Kept {
    ToTheEnd(ExitStatus),
    /// The command has to be gone by then.
    NotBeyond {
        deadline: Instant,
        reason: String,
    },
}

/// A lock that the agent holds for this process.
#[derive(Debug)]
struct Lock {
    client: Client,
    token: TokenRow,
    grace: Duration,
    /// Until when it is held at least, whatever becomes of the agent.
    until: Instant,
    /// How often the agent is asked.
    every: Duration,
    /// When the agent was asked what it has not answered.
    asked: Option<Instant>,
    ask_at: Instant,
}

impl Lock {
    async fn acquire(args: &LockArgs) -> Result<Self, Failure> {
        let patience = args.remote.timeout;
        let request = Request::Lock {
            pool: args.pool.clone(),
            key: args.key.clone(),
            ttl_ms: millis(args.ttl),
            patience_ms: millis(patience),
            tries: args.tries,
        };
        let mut client = Client::request(&args.remote, &request).await?;
        loop {
            match event(client.next(Some(patience.saturating_add(SLACK))).await?)? {
                LockEvent::Acquired(token) => {
                    let now = Instant::now();
                    return Ok(Self {
                        client,
                        token,
                        grace: args.grace(),
                        until: now,
                        every: (args.ttl / LOOKS).max(SHORTEST_LOOK),
                        asked: None,
                        ask_at: now,
                    });
                }
                LockEvent::Lost => return Err(lost_early()),
                LockEvent::Asking | LockEvent::Left { .. } => {}
            }
        }
    }

    /// Learns for the first time how long the lock is held.
    async fn look(&mut self) -> Result<(), Failure> {
        self.ask().await?;
        let reply = self.client.next(Some(SLACK)).await?;
        match event(reply)? {
            LockEvent::Left { left_ms } => self.note(left_ms),
            _ => return Err(lost_early()),
        }
        if Instant::now() + self.grace < self.until { Ok(()) } else { Err(lost_early()) }
    }

    async fn ask(&mut self) -> Result<(), Failure> {
        // What the answer says is counted from the question: it cannot be shorter.
        self.asked = Some(Instant::now());
        self.client.say(&LockSay::Left).await
    }

    fn note(&mut self, left_ms: u64) {
        if let Some(asked) = self.asked.take() {
            self.until = self.until.max(asked + Duration::from_millis(left_ms));
            self.ask_at = asked + self.every;
        }
    }

    /// Goes on until the command has ended, or has to.
    async fn kept(&mut self, group: &mut Group, signals: &mut PassedSignals) -> Result<Kept, Failure> {
        loop {
            tokio::select! {
                biased;
                status = group.ended() => return Ok(Kept::ToTheEnd(status?)),
                signal = signals.next() => group.signal(signal),
                () = sleep_until(self.until - self.grace) => {
                    let reason = "the lock has run out: the agent could not extend it, or says nothing".to_owned();
                    return Ok(Kept::NotBeyond { deadline: self.until, reason });
                }
                reply = self.client.next(None) => match reply.and_then(event) {
                    Ok(LockEvent::Left { left_ms }) => self.note(left_ms),
                    Ok(LockEvent::Lost) => return Ok(self.lost("the lock was lost, says the agent".to_owned())),
                    Ok(_) => {}
                    Err(failure) => return Ok(self.gone(&failure)),
                },
                () = sleep_until(self.ask_at), if self.asked.is_none() => {
                    if let Err(failure) = self.ask().await {
                        return Ok(self.gone(&failure));
                    }
                }
            }
        }
    }

    /// The end of the connection: an agent that goes on has released the lock, and one that starts again has forgotten it.
    fn gone(&self, failure: &Failure) -> Kept {
        self.lost(format!("the agent is gone, and with it the lock: {failure}"))
    }

    fn lost(&self, reason: String) -> Kept {
        Kept::NotBeyond { deadline: self.until.min(Instant::now() + self.grace), reason }
    }

    /// Gives it back. If the agent does not say that it is done, the end of the connection does.
    async fn release(mut self) {
        if self.client.say(&LockSay::Release).await.is_err() {
            return;
        }
        let done = async { while let Ok(Reply::Item(_)) = self.client.next(None).await {} };
        let _ = timeout(RELEASE_PATIENCE, done).await;
    }
}

fn event(reply: Reply) -> Result<LockEvent, Failure> {
    match reply {
        Reply::Item(item) => row(item),
        Reply::Done(_) => Err(Failure::unreachable("the agent says no more about the lock")),
        Reply::Error(refusal) => Err(refusal.into()),
    }
}

fn lost_early() -> Failure {
    Failure::NotAcquired("the lock was lost before the command could run; --ttl takes a longer time".to_owned())
}

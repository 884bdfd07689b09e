//! How a job learns that it shall stop.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use super::Cancelled;
use super::shared::Shared;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Condvar, Instant, Mutex, Weak};

/// What a running job can ask.
///
/// # Examples
///
/// ```
/// use mayhem_bridge::BlockingPool;
///
/// let pool = BlockingPool::builder().name("doc").threads(1).build();
/// let job = pool.run("who", |cx| format!("{} in {}", cx.label(), cx.pool())).unwrap();
/// assert_eq!(job.wait().unwrap(), "who in doc");
/// ```
#[derive(Debug)]
pub struct JobContext {
    label: Cow<'static, str>,
    pool: Arc<str>,
    token: CancelToken,
}

impl JobContext {
    pub(super) fn new(label: Cow<'static, str>, pool: &Arc<Shared>, id: u64) -> Arc<Self> {
        Arc::new(Self {
            label,
            pool: Arc::clone(&pool.name),
            token: CancelToken::new(id, Arc::downgrade(pool)),
        })
    }

    /// Whether the job was asked to stop, by its owner or by the pool's shutdown.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::BlockingPool;
    ///
    /// let pool = BlockingPool::builder().name("doc").build();
    /// let job = pool.run("asks", |cx| {
    ///     let before = cx.is_cancelled();
    ///     cx.cancel_token().cancel();
    ///     (before, cx.is_cancelled())
    /// });
    /// assert_eq!(job.unwrap().wait().unwrap(), (false, true));
    /// ```
    pub fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Ends the job early, with `?`, if it was asked to stop.
    ///
    /// # Errors
    ///
    /// [`Cancelled`] if it was.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::{BlockingPool, Cancelled};
    ///
    /// let pool = BlockingPool::builder().name("doc").build();
    /// let job = pool.run("endless", |cx| -> Result<(), Cancelled> {
    ///     loop {
    ///         cx.check_cancelled()?;
    ///         std::thread::yield_now();
    ///     }
    /// });
    /// let job = job.unwrap();
    /// while pool.stats().running == 0 {
    ///     std::thread::yield_now();
    /// }
    /// job.cancel();
    /// assert_eq!(job.wait().unwrap(), Err(Cancelled));
    /// ```
    pub fn check_cancelled(&self) -> Result<(), Cancelled> {
        self.token.check_cancelled()
    }

    /// Pauses the job, unless or until it is asked to stop.
    ///
    /// # Errors
    ///
    /// [`Cancelled`] if it was, at once.
    ///
    /// # Blocking
    ///
    /// Parks the job's thread up to `duration`.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::{BlockingPool, Cancelled};
    /// use std::time::Duration;
    ///
    /// let pool = BlockingPool::builder().name("doc").threads(1).build();
    /// let job = pool.run("poll", |cx| cx.sleep(Duration::from_secs(3600))).unwrap();
    /// while pool.stats().running == 0 {
    ///     std::thread::yield_now();
    /// }
    /// job.cancel();
    /// assert_eq!(job.wait().unwrap(), Err(Cancelled));
    /// ```
    pub fn sleep(&self, duration: Duration) -> Result<(), Cancelled> {
        self.token.0.sleep(duration)
    }

    /// The job's cancel token, for code that the job hands its work to.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::{BlockingPool, CancelToken};
    ///
    /// // Knows no pool, only that it may be asked to stop.
    /// fn count(until: u32, token: &CancelToken) -> u32 {
    ///     (0..until).take_while(|_| !token.is_cancelled()).count() as u32
    /// }
    ///
    /// let pool = BlockingPool::builder().name("doc").build();
    /// let job = pool.run("count", |cx| count(5, &cx.cancel_token())).unwrap();
    /// assert_eq!(job.wait().unwrap(), 5);
    /// ```
    pub fn cancel_token(&self) -> CancelToken {
        self.token.clone()
    }

    /// The job's label.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::BlockingPool;
    ///
    /// let pool = BlockingPool::builder().name("doc").build();
    /// let job = pool.run("load", |cx| cx.label().to_owned()).unwrap();
    /// assert_eq!(job.wait().unwrap(), "load");
    /// ```
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The pool's name.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::BlockingPool;
    ///
    /// let pool = BlockingPool::builder().name("store").build();
    /// let job = pool.run("load", |cx| cx.pool().to_owned()).unwrap();
    /// assert_eq!(job.wait().unwrap(), "store");
    /// ```
    pub fn pool(&self) -> &str {
        &self.pool
    }

    pub(super) fn label_cow(&self) -> Cow<'static, str> {
        self.label.clone()
    }

    pub(super) fn token(&self) -> &CancelToken {
        &self.token
    }
}

/// Asks one job to stop, and tells whether it was asked: from anywhere, also while another task
/// awaits the job.
///
/// # Examples
///
/// ```
/// use mayhem_bridge::BlockingPool;
///
/// let pool = BlockingPool::builder().name("doc").build();
/// let job = pool.run("until told", |cx| cx.sleep(std::time::Duration::MAX)).unwrap();
/// let token = job.cancel_token();
/// while pool.stats().running == 0 {
///     std::thread::yield_now();
/// }
/// let canceller = std::thread::spawn(move || token.cancel());
/// assert!(job.wait().unwrap().is_err());
/// canceller.join().unwrap();
/// ```
#[derive(Clone)]
pub struct CancelToken(Arc<Token>);

impl CancelToken {
    fn new(id: u64, pool: Weak<Shared>) -> Self {
        Self(Arc::new(Token {
            id,
            pool,
            is_cancelled: AtomicBool::new(false),
            abandons: AtomicBool::new(false),
            gate: Mutex::new(()),
            told: Condvar::new(),
        }))
    }

    /// As [`Job::cancel`](crate::Job::cancel). Idempotent.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::{BlockingPool, Cancelled};
    /// use std::time::Duration;
    ///
    /// let pool = BlockingPool::builder().name("doc").build();
    /// let job = pool.run("stops itself", |cx| {
    ///     cx.cancel_token().cancel();
    ///     cx.sleep(Duration::MAX)
    /// });
    /// assert_eq!(job.unwrap().wait().unwrap(), Err(Cancelled));
    /// ```
    pub fn cancel(&self) {
        self.ask();
        if let Some(pool) = self.0.pool.upgrade() {
            // Relaxed: the flag belongs to the job's owner, who has set it before.
            pool.cancel(self.0.id, self.0.abandons.load(Ordering::Relaxed));
        }
    }

    /// Whether the job was asked to stop.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::BlockingPool;
    ///
    /// let pool = BlockingPool::builder().name("doc").build();
    /// let job = pool.run("load", |_| ()).unwrap();
    /// let token = job.cancel_token();
    /// assert!(!token.is_cancelled());
    /// token.cancel();
    /// assert!(token.is_cancelled());
    /// ```
    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled.load(Ordering::Acquire)
    }

    /// As [`JobContext::check_cancelled`].
    ///
    /// # Errors
    ///
    /// [`Cancelled`] if the job was asked to stop.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::{BlockingPool, Cancelled};
    ///
    /// let pool = BlockingPool::builder().name("doc").build();
    /// let token = pool.run("load", |_| ()).unwrap().cancel_token();
    /// assert_eq!(token.check_cancelled(), Ok(()));
    /// token.cancel();
    /// assert_eq!(token.check_cancelled(), Err(Cancelled));
    /// ```
    pub fn check_cancelled(&self) -> Result<(), Cancelled> {
        match self.is_cancelled() {
            true => Err(Cancelled),
            false => Ok(()),
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.0.id
    }

    pub(super) fn pool(&self) -> Option<Arc<Shared>> {
        self.0.pool.upgrade()
    }

    pub(super) fn set_abandons(&self, abandons: bool) {
        self.0.abandons.store(abandons, Ordering::Relaxed);
    }

    pub(super) fn abandons(&self) -> bool {
        self.0.abandons.load(Ordering::Relaxed)
    }

    /// Only asks: a job in the queue stays there.
    pub(super) fn ask(&self) {
        // Release: what the canceller did before is seen by a job that sees the flag.
        self.0.is_cancelled.store(true, Ordering::Release);
        // Through the gate: a sleeper that has not seen the flag is asleep by now, and hears us.
        drop(self.0.gate.lock());
        self.0.told.notify_all();
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CancelToken")
            .field("is_cancelled", &self.is_cancelled())
            .finish_non_exhaustive()
    }
}

struct Token {
    id: u64,
    pool: Weak<Shared>,
    is_cancelled: AtomicBool,
    /// Whether a cancel of the running job gives it up.
    abandons: AtomicBool,
    gate: Mutex<()>,
    told: Condvar,
}

impl Token {
    fn sleep(&self, duration: Duration) -> Result<(), Cancelled> {
        let deadline = Instant::now().checked_add(duration);
        let mut gate = self.gate.lock();
        let mut is_over = false;
        loop {
            if self.is_cancelled.load(Ordering::Acquire) {
                return Err(Cancelled);
            }
            if is_over {
                return Ok(());
            }
            (gate, is_over) = self.told.wait_until(gate, deadline);
        }
    }
}

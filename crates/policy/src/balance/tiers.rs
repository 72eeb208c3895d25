//! Who may be picked: backends sorted into levels by standing and tier.
//!
//! Owns the order of choice and the avoidance of tried backends, for every policy alike. What to do within one level is
//! the policy's business ([`Choose`]). A change of standing is O(n) and only marks the two levels it touches; the policy
//! hears of its new members and weights at the next pick, so that a burst of changes costs one rebuild.

use super::spill::{self, Tier};
use super::{Balancer, Loads, NodeShare, Pick, Standing, Terms, avoid, subset};
use crate::plan::{Backend, SpillOver};
use crate::rng::{Rng, hash, mix};

/// A whole weight, in thousandths.
pub(super) const WHOLE: u16 = 1000;

/// A backend as policies see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    /// Its index in the pool.
    pub(super) backend: u16,
    /// Its share of work in thousandths, at least 1: its weight times what it gets of it.
    pub(super) weight: u32,
    /// What it gets of its weight, from 1 to [`WHOLE`].
    pub(super) permille: u16,
    /// A hash of its name: the same in every worker, process and generation of the plan.
    pub(super) key: u64,
}

impl Member {
    /// Whether it takes this request, by chance: all with its whole weight, else so many of them.
    pub(super) fn takes(&self, rng: &mut Rng) -> bool {
        self.permille >= WHOLE || rng.below(u64::from(WHOLE)) < u64::from(self.permille)
    }
}

/// A policy within one level.
pub(super) trait Choose {
    /// Replaces the members; they are in file order, at least one.
    fn members_changed(&mut self, members: &[Member], loads: &dyn Loads);
    /// Chooses a member that is not in `pick.tried`; the caller has made sure that there is one.
    fn choose(&mut self, pick: &mut Pick<'_>) -> Option<u16>;
    /// The load of a backend of this level may have changed. Members may be not yet known.
    fn load_changed(&mut self, _backend: u16, _loads: &dyn Loads) {}
}

/// The place of a member in a slice in file order.
pub(super) fn position(members: &[Member], backend: u16) -> Option<usize> {
    members.binary_search_by_key(&backend, |member| member.backend).ok()
}

/// Levels in the order of choice; the tier counts only among those that may well answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Ready(u8),
    Unknown(u8),
    Ejected,
    Out,
}

/// One backend of the pool, eligible or not.
struct Slot {
    member: Member,
    /// Its weight in the file.
    weight: u32,
    tier: u8,
    standing: Standing,
}

impl Slot {
    fn new(index: u16, backend: &Backend) -> Self {
        let member = Member { backend: index, weight: 1, permille: WHOLE, key: hash(backend.name.as_bytes()) };
        let weight = backend.weight.max(1);
        let mut slot = Self { member, weight, tier: backend.tier, standing: Standing::default() };
        slot.weigh(WHOLE);
        slot
    }

    fn weigh(&mut self, permille: u16) {
        self.member.permille = permille.clamp(1, WHOLE);
        self.member.weight = self.weight.saturating_mul(u32::from(self.member.permille));
    }

    fn rank(&self) -> Option<Rank> {
        Rank::of(self.standing, self.tier)
    }
}

impl Rank {
    fn of(standing: Standing, tier: u8) -> Option<Self> {
        match standing {
            Standing::Ready => Some(Self::Ready(tier)),
            Standing::Unknown => Some(Self::Unknown(tier)),
            Standing::Ejected => Some(Self::Ejected),
            Standing::Out => Some(Self::Out),
            Standing::Excluded => None,
        }
    }
}

/// The backends that an exchange waits for while none of them has room: those among which [`Balancer::pick`] would
/// choose. A level that is busy is no reason to go to the next: its backends are well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Awaited {
    rank: Rank,
    /// Every backend that could be meant was tried already.
    again: bool,
}

impl Awaited {
    /// For an exchange that has tried some backends; `None` if all are excluded. Takes standing and tier of each, O(n).
    pub fn new(backends: impl Iterator<Item = (Standing, u8)> + Clone, tried: &[u16]) -> Option<Self> {
        let ranks = (0..=u16::MAX)
            .zip(backends)
            .filter_map(|(index, (standing, tier))| Rank::of(standing, tier).map(|rank| (index, rank)));
        let least = ranks.clone().map(|(_, rank)| rank).min()?;
        // Those that are ejected or out count only when there is no other.
        let counts = |rank: Rank| rank < Rank::Ejected || least >= Rank::Ejected;
        let untried = ranks.filter(|(index, rank)| counts(*rank) && !tried.contains(index)).map(|(_, rank)| rank).min();
        Some(Self { rank: untried.unwrap_or(least), again: untried.is_none() })
    }

    /// Whether a backend, which has this standing and tier, is one of them.
    #[must_use]
    pub fn admits(self, backend: u16, (standing, tier): (Standing, u8), tried: &[u16]) -> bool {
        Rank::of(standing, tier) == Some(self.rank) && (self.again || !tried.contains(&backend))
    }
}

/// Backends of one rank, with the policy that chooses among them.
struct Level<P> {
    rank: Rank,
    members: Vec<Member>,
    policy: P,
    /// The members that the policy has heard of: all, or what this node uses of them. Empty after a change.
    used: Vec<Member>,
}

impl<P: Choose> Level<P> {
    /// Whether a member that is used is not in `tried`.
    fn has_untried(&self, tried: &[u16]) -> bool {
        self.used.len() > tried.len() || self.used.iter().any(|member| !avoid::has(tried, member.backend))
    }

    /// Tells the policy of its members, if they have changed.
    fn tell(&mut self, share: Option<NodeShare>, loads: &dyn Loads) {
        if self.used.is_empty() {
            self.used = share.map_or_else(|| self.members.clone(), |share| subset::of(&self.members, share));
            self.policy.members_changed(&self.used, loads);
        }
    }
}

/// What decides which tier a request spills over to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chance {
    /// Any.
    Free,
    /// Its key, so that it always goes to the same.
    OfKey,
}

/// The backends of a pool, eligible or not, and the terms on which they are chosen.
pub(super) struct Slots {
    slots: Vec<Slot>,
    spill_over: Option<SpillOver>,
    chance: Chance,
    share: Option<NodeShare>,
}

impl Slots {
    pub(super) fn new(backends: &[Backend], terms: &Terms, chance: Chance) -> Self {
        let slots = (0..=u16::MAX).zip(backends).map(|(index, backend)| Slot::new(index, backend)).collect();
        Self { slots, spill_over: terms.spill_over, chance, share: terms.share }
    }

    /// Weight of a tier that is not out by the operator.
    fn weight_of(&self, tier: u8) -> u64 {
        let wanted = |slot: &&Slot| slot.tier == tier && slot.standing != Standing::Excluded;
        self.slots.iter().filter(wanted).map(|slot| spill::whole(slot.weight)).sum()
    }
}

/// A policy over a whole pool.
pub(super) struct Tiers<P> {
    pool: Slots,
    /// In the order of choice, none without members.
    levels: Vec<Level<P>>,
    /// Where the share of each tier ends that has a level; empty after a change, and where nothing spills over.
    ends: Vec<f64>,
    /// Makes a policy without members.
    make: Box<dyn Fn() -> P>,
}

impl<P: Choose> Tiers<P> {
    /// A policy for each level, all of which `make` makes without members.
    pub(super) fn new(pool: Slots, make: impl Fn() -> P + 'static) -> Self {
        let mut tiers = Self { pool, levels: Vec::new(), ends: Vec::new(), make: Box::new(make) };
        for index in 0..tiers.pool.slots.len() {
            tiers.enter(index);
        }
        tiers
    }

    /// Puts a backend into the level of its rank, which it may be the first of.
    fn enter(&mut self, index: usize) {
        let slot = &self.pool.slots[index];
        let Some(rank) = slot.rank() else { return };
        let at = self.levels.binary_search_by_key(&rank, |level| level.rank).unwrap_or_else(|at| {
            let level = Level { rank, members: Vec::new(), policy: (self.make)(), used: Vec::new() };
            self.levels.insert(at, level);
            at
        });
        let level = &mut self.levels[at];
        let place = level.members.partition_point(|member| member.backend < slot.member.backend);
        level.members.insert(place, slot.member);
        level.used.clear();
    }

    /// Takes a backend out of the level of its rank, which ends with its last member.
    fn leave(&mut self, index: usize) {
        let Some(at) = self.level_of(index) else { return };
        let backend = self.pool.slots[index].member.backend;
        let level = &mut self.levels[at];
        level.members.retain(|member| member.backend != backend);
        level.used.clear();
        if level.members.is_empty() {
            self.levels.remove(at);
        }
    }

    fn level_of(&self, index: usize) -> Option<usize> {
        let rank = self.pool.slots.get(index)?.rank()?;
        self.levels.iter().position(|level| level.rank == rank)
    }

    /// The first level with an untried backend. Levels that are ejected or out count only when there is no other.
    fn untried_level(&mut self, tried: &[u16], loads: &dyn Loads) -> Option<usize> {
        let hopeful = match self.levels.iter().take_while(|level| level.rank < Rank::Ejected).count() {
            0 => self.levels.len(),
            hopeful => hopeful,
        };
        let share = self.pool.share;
        self.levels.iter_mut().take(hopeful).position(|level| {
            level.tell(share, loads);
            level.has_untried(tried)
        })
    }

    /// The level that a first attempt spills over to.
    fn spilled_level(&mut self, pick: &mut Pick<'_>) -> Option<usize> {
        let terms = self.pool.spill_over.filter(|_| pick.tried.is_empty())?;
        if self.ends.is_empty() {
            let tier = |level: &Level<P>| match level.rank {
                Rank::Ready(tier) => {
                    let ready = level.members.iter().map(|member| u64::from(member.weight)).sum();
                    Some(Tier { ready, all: self.pool.weight_of(tier) })
                }
                _ => None,
            };
            let tiers: Vec<Tier> = self.levels.iter().map_while(tier).collect();
            self.ends = spill::ends(&terms, &tiers);
        }
        if self.ends.len() < 2 {
            return None;
        }
        let chance = match self.pool.chance {
            Chance::Free => pick.rng.next_u64(),
            Chance::OfKey => mix(pick.key ^ 0x3c6e_f372_fe94_f82b),
        };
        let at = spill::tier(&self.ends, chance);
        self.levels[at].tell(self.pool.share, pick.loads);
        Some(at)
    }

    /// The level to choose from, and what of it to avoid.
    fn level_for<'t>(&mut self, pick: &mut Pick<'t>) -> (usize, &'t [u16]) {
        if let Some(at) = self.spilled_level(pick) {
            return (at, &[]);
        }
        match self.untried_level(pick.tried, pick.loads) {
            Some(at) => (at, pick.tried),
            None => (0, &[]),
        }
    }

    fn pick_within(&mut self, pick: &mut Pick<'_>) -> Option<usize> {
        // Nearly always nothing has changed, nothing was tried and nothing spills over.
        if let Some(level) = self.levels.first_mut()
            && pick.tried.is_empty()
            && self.pool.spill_over.is_none()
            && !level.used.is_empty()
        {
            return level.policy.choose(pick).map(usize::from);
        }
        let (at, tried) = self.level_for(pick);
        let level = self.levels.get_mut(at)?;
        level.policy.choose(&mut Pick { tried, rng: &mut *pick.rng, ..*pick }).map(usize::from)
    }

    /// A backend with room of a level.
    fn pick_of(&mut self, at: usize, pick: &mut Pick<'_>, room: &dyn Fn(usize) -> bool) -> Option<usize> {
        let level = self.levels.get_mut(at)?;
        level.tell(self.pool.share, pick.loads);
        let full = level.used.iter().map(|member| member.backend).filter(|backend| !room(usize::from(*backend)));
        let avoid = avoid::sorted(pick.tried.iter().copied().chain(full));
        if !level.has_untried(&avoid) {
            return None;
        }
        level.policy.choose(&mut Pick { tried: &avoid, rng: &mut *pick.rng, ..*pick }).map(usize::from)
    }

    /// A change of who is in which level, or with which weight.
    fn changed(&mut self) {
        self.ends.clear();
    }

    fn load_changed(&mut self, index: usize, loads: &dyn Loads) {
        if let Some(at) = self.level_of(index) {
            self.levels[at].policy.load_changed(self.pool.slots[index].member.backend, loads);
        }
    }
}

impl<P: Choose> Balancer for Tiers<P> {
    fn backend_changed(&mut self, backend: usize, standing: Standing) {
        if self.pool.slots.get(backend).is_none_or(|slot| slot.standing == standing) {
            return;
        }
        self.leave(backend);
        self.pool.slots[backend].standing = standing;
        self.enter(backend);
        self.changed();
    }

    fn weight_changed(&mut self, backend: usize, permille: u16) {
        let Some(slot) = self.pool.slots.get_mut(backend) else { return };
        let before = slot.member.permille;
        slot.weigh(permille);
        let member = slot.member;
        if member.permille == before {
            return;
        }
        self.changed();
        let Some(at) = self.level_of(backend) else { return };
        let level = &mut self.levels[at];
        if let Some(place) = position(&level.members, member.backend) {
            level.members[place] = member;
            level.used.clear();
        }
    }

    fn taken(&mut self, backend: usize, loads: &dyn Loads) {
        self.load_changed(backend, loads);
    }

    fn returned(&mut self, backend: usize, loads: &dyn Loads) {
        self.load_changed(backend, loads);
    }

    fn pick(&mut self, pick: &mut Pick<'_>) -> Option<usize> {
        if avoid::is_fit(pick.tried) {
            return self.pick_within(pick);
        }
        let tried = avoid::sorted(pick.tried.iter().copied());
        self.pick_within(&mut Pick { tried: &tried, rng: &mut *pick.rng, ..*pick })
    }

    fn pick_with_room(&mut self, pick: &mut Pick<'_>, room: &dyn Fn(usize) -> bool) -> Option<usize> {
        let first = self.pick(pick)?;
        if room(first) {
            return Some(first);
        }
        let (at, tried) = self.level_for(pick);
        let mut within = Pick { tried, rng: &mut *pick.rng, ..*pick };
        if let Some(found) = self.pick_of(at, &mut within, room) {
            return Some(found);
        }
        if !self.pool.spill_over.is_some_and(|terms| terms.full) {
            return None;
        }
        let ready = self.levels.iter().take_while(|level| matches!(level.rank, Rank::Ready(_))).count();
        (0..ready).find_map(|at| self.pick_of(at, &mut within, room))
    }
}

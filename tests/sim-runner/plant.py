#!/usr/bin/env python3
"""Plants bugs in a copy of the workspace, for the simulation to find.

usage: cp -r WORKSPACE COPY && python3 COPY/tests/sim-runner/plant.py COPY && cd COPY &&
       RUSTFLAGS="--cfg mayhem_bug" cargo run --release -p mayhem-sim-runner -- --bugs

Each bug is a place in the engine and what is to stand there instead; B("name") asks whether the bug
of that name is the one to be hunted. A place that is not found any more is printed and is a failure,
here and of the test in `tests/plants.rs`, which reads this list: one place in a line, in single quotes.
"""

import os
import re
import sys

root=sys.argv[1]
H='consumer/handling.rs';S='consumer/settlements.rs';I='consumer/intake.rs';M='consumer/merging.rs';D='consumer/shutdown.rs';T='lease/table.rs';X='lease/extensions.rs';G='lease/gathering.rs'
P=[
(H,'running.shields.is_none() && !lease.is_lost','(running.shields.is_none() || B("ack beside shielded work")) && !lease.is_lost'),
(H,'.filter(|shields| shields.count > 0) {','.filter(|shields| shields.count > 0 && !B("shielded work not waited for")) {'),
(S,'let is_held = lease.is_extending','let is_held = !B("nack overtakes extension") && lease.is_extending'),
('consumer/delivering.rs','Self::Nack { is_held, .. } => std::mem::take(is_held),','Self::Nack { is_held, .. } => std::mem::take(is_held) && !B("held nack forgotten"),'),
(H,'            .is_some_and(|lease| lease.is_extending)\n','            .is_some_and(|lease| lease.is_extending && !B("held nack sent by an older answer"))\n'),
(X,'            self.queue(member.handle);\n','            if !B("failed extension not tried again") { self.queue(member.handle); }\n'),
(H,'            after,\n            counted: true,','            after,\n            counted: !B("retry not counted"),'),
(H,'after });\n                Settle::Nack {\n                    after,\n                    counted: false,','after });\n                Settle::Nack {\n                    after,\n                    counted: B("postponement counted"),'),
(H,'if attempt >= self.settings.max_deliveries {','if attempt + u32::from(B("dead letter too early")) >= self.settings.max_deliveries && !B("dead letter never") {'),
(H,'after.unwrap_or_else(','after.filter(|_| !B("wanted delay ignored")).unwrap_or_else('),
(H,'            Finish::Cancelled | Finish::Refused | Finish::NotBegun => {\n                return Settle::Nack {\n                    after: Duration::ZERO,\n                    counted: false,','            Finish::Cancelled | Finish::Refused | Finish::NotBegun => {\n                if B("cancelled handler acked") { return Settle::Ack; }\n                return Settle::Nack {\n                    after: Duration::ZERO,\n                    counted: B("cancelled handler counted"),'),
(H,'            Finish::Panicked(message) => {\n                let error','            Finish::Panicked(_) if B("panicked handler acked") => return Settle::Ack,\n            Finish::Panicked(message) => {\n                let error'),
(H,'        if self.running_mut(handle).is_some() {\n            self.stats.totals.panicked','        if self.running_mut(handle).is_some() && !B("panic not told") {\n            self.stats.totals.panicked'),
(S,'        self.table.unsend(handle);\n        self.settlements.push(handle);','        self.table.unsend(handle);\n        if !B("settlement not sent again") { self.settlements.push(handle); }'),
(S,'                Came::Unsettled\n','                if B("failed settlement taken as done") { Came::Settled(vec![Outcome::Done; members.len()]) } else { Came::Unsettled }\n'),
('consumer/answers.rs','                Outcome::Done => self.end(member.handle, End::Settled),','                Outcome::Gone if B("refused settlement taken as done") => self.end(member.handle, End::Settled),\n                Outcome::Done => self.end(member.handle, End::Settled),'),
(S,'        self.settlements.calls_in_flight -= 1;\n        let came = match answer {','        let is_leaking = B("settle window leaks") && matches!(answer, Answer::Retryable(_));\n        self.settlements.calls_in_flight -= usize::from(!is_leaking);\n        let came = match answer {'),
(S,'        self.stats.outstanding -= 1;','        self.stats.outstanding -= usize::from(!(B("room leaks on expiry") && matches!(end, End::Expired)));'),
(S,'        if matches!(lease.owner.stage, Stage::Running(_)) {\n            lease.owner.delivery.set_lease_lost();','        if matches!(lease.owner.stage, Stage::Running(_)) && !B("permit freed on loss") {\n            if !B("loss not told to the handler") { lease.owner.delivery.set_lease_lost(); }'),
(I,'let is_running = self.stats.phase == Phase::Running && !self.stats.is_paused;','let is_running = (self.stats.phase == Phase::Running || B("start after stop")) && (!self.stats.is_paused || B("start in a pause"));'),
(I,'self.stats.running < self.stats.concurrency','self.stats.running < self.stats.concurrency + usize::from(B("one permit too many"))'),
('flow.rs','self.count_max - load.count)','self.count_max - if B("room not counted") { 0 } else { load.count })'),
('flow.rs','load.bytes > bytes_max;','load.bytes > bytes_max || (self.is_full && B("full for ever"));'),
(M,'let Some(older) = self.table.find_hashed(hash, &message.id) else {\n            return false;\n        };\n        // An older','let found = self.table.find_hashed(hash, &message.id);\n        let Some(older) = found.filter(|_| !B("duplicate not merged")) else {\n            return false;\n        };\n        // An older'),
(M,'        if !is_late {','        if !is_late || B("late duplicate adopted") {'),
(M,'lease.owner.is_nacked() && message.attempt','!B("redelivery merged with its nack") && lease.owner.is_nacked() && message.attempt'),
(M,'            .is_some_and(|lease| now >= lease.deadline)\n        {\n            self.lose(older);','            .is_some_and(|lease| now >= lease.deadline && !B("run-out lease adopted"))\n        {\n            self.lose(older);'),
(I,'                self.intake.failures = failures;','                if !B("receive not tried again") { self.intake.failures = failures; }'),
(I,'            None => self.release(handle),','            None if B("start after stop") => self.waiting.push_back(handle),\n            None if B("late arrival kept at stop") => {}\n            None => self.release(handle),'),
(G,'            members[kept].deadline = deadline;','            members[kept].deadline = deadline + (deadline - now) / 8 * u32::from(B("extension counted too long"));'),
(X,'            self.stop_timer(handle);\n            self.queue(handle);','            self.stop_timer(handle);\n            if !B("lease never extended") { self.queue(handle); }'),
('lease/deadlines.rs','        let half = span.min(self.lease) / 2;','        let half = span.min(self.lease) / if B("extension too late") { 512 } else { 2 };\n        let half = if B("extension too early") { half * 9 / 5 } else { half };'),
(G,'        let deadline = wanted.min(lease.received + lease_max);\n        if deadline <=','        let deadline = if B("longest lease ignored") { wanted } else { wanted.min(lease.received + lease_max) };\n        if deadline <='),
(G,'let is_held = lease.stage == Stage::Held && now','let is_held = (lease.stage == Stage::Held || B("settled lease extended")) && now'),
('lease/timers.rs','            if !is_over {\n','            if !is_over || B("run-out lease not noticed") {\n'),
(T,'            lease.newer = Some(Box::new(Newer { token, attempt }));','            if !B("first token kept") { lease.newer = Some(Box::new(Newer { token, attempt })); }'),
(T,'            lease.epoch = lease.epoch.wrapping_add(1);','            lease.epoch = lease.epoch.wrapping_add(u16::from(!B("epoch kept")));'),
(T,'            lease.deadline = deadline;\n            lease.is_extending = false;','            lease.deadline = deadline;\n            lease.is_extending &= B("extension of the older lease awaited");'),
(X,'        self.calls_in_flight -= 1;\n        self.deadlines.answered','        self.calls_in_flight -= usize::from(!B("extend window leaks"));\n        self.deadlines.answered'),
(D,'        self.shutdown.deadline = phase.limit(&self.shutdown.plan).map(|limit| now + limit);','        self.shutdown.deadline = phase.limit(&self.shutdown.plan).map(|limit| now + limit);\n        if phase == Phase::Draining && B("drain without end") { self.shutdown.deadline = None; }\n        if phase == Phase::Flushing && B("flush without end") { self.shutdown.deadline = None; }'),
(D,'Phase::Grace if is_late => {','Phase::Grace if is_late && !B("grace without end") => {'),
(D,'        self.cancelling = Some(Cancelling::Telling(0));','        if !B("handlers not cancelled") { self.cancelling = Some(Cancelling::Telling(0)); }'),
(D,'                2 => self','                2.. if B("second stop ignored") => {}\n                2 => self'),
(D,'                _ => self.hand','                _ if B("third stop ignored") => {}\n                _ => self.hand'),
(D,'                self.release(handle);\n            }\n        }\n','                if !B("unstarted messages kept at stop") { self.release(handle); }\n            }\n        }\n'),
(D,'        self.intake.close();','        if !B("source left open at stop") { self.intake.close(); }'),
(D,'Phase::Flushing if self.intake.is_closed() && self.table.is_empty()','Phase::Flushing if (self.intake.is_closed() || B("late arrivals not awaited")) && (self.table.is_empty() || B("closed before the answers"))'),
('delivery/mod.rs','        self.scope.aside().waker.wake();','        if !B("cancel without a wake") { self.scope.aside().waker.wake(); }'),
('delivery/mod.rs','        self.is_cancelled()\n    }','        self.is_cancelled() && !B("cancelled handler goes on")\n    }'),
('signal.rs','            waker.wake();','            if !B("signal without a wake") { waker.wake(); }'),
('fan_out/mod.rs','if retries().next().is_some() {','if retries().next().is_some() && !B("failed branch forgotten") {'),
('fan_out/branches.rs','        self.delivery\n            .branch_failed(branch','        if B("branch failure told twice") { self.delivery.branch_failed(branch, error.describe(), required); }\n        self.delivery\n            .branch_failed(branch'),
('consumer/engine.rs','        let Some(next) = earliest(&due) else {','        let next = if B("sleeps for the last timer") { due.iter().flatten().max().copied() } else { earliest(&due) };\n        let Some(next) = next else {'),
('consumer/engine.rs','                && matches!(lease.owner.stage, Stage::Running(_))\n            {\n                lease.owner.delivery.cancel();','                && matches!(lease.owner.stage, Stage::Running(_))\n                && !B("handlers outlive the consumer")\n            {\n                lease.owner.delivery.cancel();'),
('backoff.rs','.checked_pow(attempt.saturating_sub(1))','.checked_pow(if B("backoff never grows") { 0 } else { attempt.saturating_sub(1) })'),
('control.rs','        self.waker.wake();','        if !B("notice without a wake") { self.waker.wake(); }'),
(I,'            if now >= lease.deadline {\n                // Another','            if now >= lease.deadline && !B("run-out lease started") {\n                // Another'),
(S,'queue.is_empty() || !may_send || now < *retry_at','queue.is_empty() || !may_send || (now < *retry_at && !B("settlement sent again at once"))'),
(S,'                let mut failures = self.settlements.failures;\n                let retry_at = self.call_failed(now, BrokerCall::Settle','                if B("failed settlement told twice") { let mut none = 0; self.call_failed(now, BrokerCall::Settle, &mut none, error.clone()); }\n                let mut failures = self.settlements.failures;\n                let retry_at = self.call_failed(now, BrokerCall::Settle'),
('consumer/calls.rs','        self.emit(|| Event::BrokerFailed {\n            call,\n            error,\n            permanent: false,\n        });','        if !(B("failed receive not told") && call == BrokerCall::Receive) {\n        self.emit(|| Event::BrokerFailed {\n            call,\n            error,\n            permanent: false,\n        });\n        }'),
('consumer/calls.rs','delay.min((self.settings.lease / 8).max(CALL_BACKOFF.base / 2))','delay.min((self.settings.lease / 8).max(CALL_BACKOFF.base / 2)) + self.settings.lease / 2 * u32::from(B("failed calls spaced too far"))'),
(I,'                && !bucket.is_ready(now)','                && !bucket.is_ready(now)\n                && !B("rate ignored")'),
(M,'if self.table.is_detached(','if !B("late duplicate of a nack taken up") && self.table.is_detached('),
(M,'            self.release_held(older);','            if !B("held nack left under a newer lease") { self.release_held(older); }'),
('consumer/timeouts.rs','            Step::Cancel => self.timeout.cancel,','            Step::Cancel if B("timed out too early") => self.timeout.cancel / 2,\n            Step::Cancel => self.timeout.cancel,'),
('consumer/timeouts.rs','                        if self.time_out(handle, after) && is_inline {','                        if B("never timed out") {} else if self.time_out(handle, after) && is_inline {'),
('consumer/parking.rs','        (until > now).then_some(until)','        (until > now && !B("delay not kept")).then_some(until)'),
('consumer/ordering.rs','            self.lanes.hasten(lane, until);\n        }\n        is_head','            self.lanes.hasten(lane, until);\n        }\n        is_head || B("order ignored")'),
('flow.rs','            (resumes_at(self.count_max), resumes_at(self.bytes_max))','            if B("no rest when full") { (self.count_max - 1, self.bytes_max - 1) } else { (resumes_at(self.count_max), resumes_at(self.bytes_max)) }'),
('flow.rs','        let is_count_met = load.count >= self.count_max.saturating_mul(OVERSHOOT);','        let is_count_met = load.count >= self.count_max.saturating_mul(if B("shed too early") { 1 } else { OVERSHOOT });'),
('flow.rs','        self.is_shedding |= is_count_met || (is_over && load.bytes >= self.bytes_max);\n        self.is_shedding\n','        self.is_shedding |= (is_count_met && !B("count never shed")) || (is_over && (load.bytes >= self.bytes_max || B("large message never taken")) && !B("bytes never shed"));\n        self.is_shedding\n'),
('flow.rs','        self.is_shedding = false;\n    }','        self.is_shedding &= B("shed for ever");\n    }'),
('consumer/shedding.rs','        self.stats.totals.shed += 1;','        self.stats.totals.shed += u64::from(!B("shed not counted"));'),
(S,'        self.stats.bytes -= lease.owner.delivery.payload().len();','        self.stats.bytes -= if B("bytes of the expired kept") && matches!(end, End::Expired) { 0 } else { lease.owner.delivery.payload().len() };'),
('consumer/hooks.rs','        for Hook { name, within, work } in hooks {','        let mut hooks = hooks;\n        if B("hooks in reverse") { hooks.reverse(); }\n        for Hook { name, within, work } in hooks {\n            if B("hooks stop at a failure") && ends.last().is_some_and(|it: &HookEnd| matches!(it.outcome, HookOutcome::Failed(_) | HookOutcome::Panicked(_))) { ends.push(HookEnd { name, outcome: HookOutcome::Skipped }); continue; }'),
('consumer/hooks.rs','            } else if late.poll_unpin(cx).is_ready() {','            } else if !B("hook without end") && late.poll_unpin(cx).is_ready() {'),
('consumer/hooks.rs','        self.requests >= GIVE_UP','        self.requests >= GIVE_UP && !B("third stop ignored by hooks")'),
('consumer/hooks.rs','            Isolated::Done(Err(error)) => Self::Failed(error),','            Isolated::Done(Err(_)) if B("failure of a hook not told") => Self::Done,\n            Isolated::Done(Err(error)) => Self::Failed(error),'),
('consumer/poison.rs','        if attempt.saturating_sub(spared) <= attempt_max {','        if attempt.saturating_sub(spared) <= attempt_max - u32::from(B("poison too early")) || B("poison started") {'),
(I,'            if attempt > self.poison.attempt_max && ','            if attempt + u32::from(B("poison too early")) > self.poison.attempt_max && '),
('consumer/poison.rs','        self.spared.get(id).copied().unwrap_or(0)','        self.spared.get(id).copied().unwrap_or(0) * u32::from(!B("attempts of those that waited held against them"))'),
('consumer/engine.rs','settings.poison_after.max(settings.max_deliveries)','settings.poison_after.max(settings.max_deliveries).min(if B("poison at the last delivery") { settings.max_deliveries } else { u32::MAX })'),
(I,'                self.intake.batch.replace(batch);','                let is_dropped = B("late arrivals dropped where bytes are limited") && self.intake.source == Source::Closing && self.settings.prefetch_bytes < 1 << 20;\n                let batch = if is_dropped { Vec::new() } else { batch };\n                self.intake.batch.replace(batch);'),
(S,'            Stage::Running(_) => self.stats.lost -= usize::from(is_lost),','            Stage::Running(_) => { self.stats.lost -= usize::from(is_lost); if B("a hang is spared") { self.poison.spare(lease.owner.delivery.id()); } }'),
('consumer/poison.rs','        self.emit_about(handle, |delivery| Event::Poisoned { delivery, attempt });','        if !B("poison not told") { self.emit_about(handle, |delivery| Event::Poisoned { delivery, attempt }); }'),
(H,'                let after = after.map(|after| after.max(self.settings.nack_delay_min));','                let after = after.map(|after| if B("least delay ignored") { after } else { after.max(self.settings.nack_delay_min) });'),
('batched/lead.rs','        while let Some(told) = stage.next() {','        while let Some(told) = stage.next().filter(|_| !B("lead of a batch not passed on")) {'),
('batched/batch.rs','            if !is_there || delivery.is_lease_lost() {','            if !is_there || (delivery.is_lease_lost() && !B("lost message kept in its batch")) {'),
('batched/batch.rs','            Ok(verdicts) if verdicts.len() == count => verdicts','            Ok(verdicts) if verdicts.len() == count && B("verdicts of a batch mixed up") => verdicts.into_iter().rev().map(Ok).collect(),\n            Ok(verdicts) if verdicts.len() == count => verdicts'),
('batched/batch.rs','            Err(message) => vec','            Err(_) if B("panic of a batch kept from it") => vec![Ok(LEFT_OUT); count],\n            Err(message) => vec'),
('consumer/timeouts.rs','        self.emit_about(handle, |delivery| Event::HandlerOverdue { delivery, after });','        if !B("overdue not told") { self.emit_about(handle, |delivery| Event::HandlerOverdue { delivery, after }); }'),
('consumer/timeouts.rs','            lease.owner.delivery.set_overdue();','            if !B("overdue not shown") { lease.owner.delivery.set_overdue(); }'),
('consumer/timeouts.rs','            Step::Tell => self.timeout.soft,','            Step::Tell if B("overdue too early") => self.timeout.soft / 2,\n            Step::Tell => self.timeout.soft,'),
('consumer/timeouts.rs','            Step::Report => self.timeout.stuck,','            Step::Report if B("stuck too early") => self.timeout.stuck / 2,\n            Step::Report => self.timeout.stuck,'),
('consumer/timeouts.rs','        if let Some(running) = self.running_mut(handle) {\n            running.is_stuck = true;','        if B("stuck not told") { return; }\n        if let Some(running) = self.running_mut(handle) {\n            running.is_stuck = true;'),
(H,'            (Verdict::Ack, Some(message)) => {\n','            (Verdict::Ack, Some(_)) if B("panic of shielded work ignored") => Settle::Ack,\n            (Verdict::Ack, Some(message)) => {\n'),
('fan_out/policy.rs','            missing: count,\n','            missing: if B("quorum of one too few") { count.max(2) - 1 } else { count },\n'),
('fan_out/policy.rs','        false\n    }\n}\n\nimpl Quorum','        _required && B("best effort needs all")\n    }\n}\n\nimpl Quorum'),
('fan_out/branches.rs','        if required && state.policy.is_satisfied() {','        if required && state.policy.is_satisfied() && !B("losers run on") {'),
('fan_out/branches.rs','            state.policy.dropped(this.name);','            if !B("loser not named") { state.policy.dropped(this.name); }'),
('fan_out/raced.rs','delays.get(self.missing - 1)','delays.get(if B("waits for the fastest branch only") { 0 } else { self.missing - 1 })'),
('fan_out/mod.rs','                after: retries().flatten().max(),','                after: if B("shortest delay of a fan-out") { retries().flatten().min() } else { retries().flatten().max() },'),
('fan_out/mod.rs','        if required().any(|failure| failure.error.is_dead()) {','        if required().any(|failure| failure.error.is_dead()) && !(B("dead only if all branches are") && required().any(|failure| !failure.error.is_dead())) {'),
('control.rs','        self.shared.waker.wake();','        if !B("change without a wake") { self.shared.waker.wake(); }'),
('consumer/changing.rs','.then(|| bucket.next())','.then(|| bucket.next() + std::time::Duration::from_millis(if B("turn waited for too long") { 500 } else { 0 }))'),
('consumer/changing.rs','        self.settings.concurrency = count_max;','        self.settings.concurrency = if B("concurrency only lowered") { count_max.min(self.settings.concurrency) } else { count_max };'),
(G,'        let nearly_due = now + self.deadlines.margin() + self.deadlines.lease() / NEARLY;','        let nearly_due = now + self.deadlines.margin() + if B("extensions one by one") { std::time::Duration::ZERO } else { self.deadlines.lease() / NEARLY };'),
(G,'        while self.gathering.count < count_max && looked < looks {','        let count_max = if B("batches not filled") { count_max.min(4) } else { count_max };\n        while self.gathering.count < count_max && looked < looks {'),
('lease/deadlines.rs','        self.lease = wanted.clamp(*adaptive.range.start(), *adaptive.range.end());','        self.lease = wanted.clamp(*adaptive.range.start(), *adaptive.range.end()) * (1 + u32::from(B("adaptive lease beyond its range")));'),
(G,'        if is_held && deadline > lease.deadline {','        if is_held && (deadline > lease.deadline || B("lease made shorter")) {'),
(G,'        if deadline <= lease.deadline {','        if deadline <= lease.deadline && !B("lease made shorter") {'),
('consumer/shutdown.rs','            Phase::Running if self.failure.is_some() => self.drain(now, self.settings.failure_plan),','            Phase::Running if self.failure.is_some() && B("failure stops by the default plan") => self.drain(now, Plan::default()),\n            Phase::Running if self.failure.is_some() => self.drain(now, self.settings.failure_plan),'),
('delivery/mod.rs','        if took > self.scope.shared.slow_poll {','        if took > self.scope.shared.slow_poll && !B("slow poll not told") {'),
('delivery/mod.rs','                took,\n            }));','                took: if B("wrong time of a slow poll") { self.scope.shared.slow_poll } else { took },\n            }));'),
('clock.rs','        now.nanos_since(std::mem::replace(&mut self.lap, now))','        if B("polls timed from the first") { return now.nanos_since(self.lap); }\n        now.nanos_since(std::mem::replace(&mut self.lap, now))'),
('batched/lead.rs','            || self.draining.poll_unpin(cx).is_ready()','            || (!B("batch kept at a drain") && self.draining.poll_unpin(cx).is_ready())'),
('batched/lead.rs','clock.sleep_until(clock.now() + within)','clock.sleep_until(clock.now() + within * (1 + u32::from(B("batch handled too late"))))'),
('batched/batch.rs','state.is_closed = state.seats.len() >= count_max;','state.is_closed = state.seats.len() >= count_max + usize::from(B("batch too large"));'),
('consumer/ordering.rs','        self.stats.totals.panicked += 1;\n        let error = format!("the key of its order: {message}");','        if B("panic over a key not told") { return message; }\n        self.stats.totals.panicked += 1;\n        let error = format!("the key of its order: {message}");'),
('consumer/ordering.rs','            Err(message) => return self.key_panicked(handle, message),','            Err(_) if B("message without its key started") => None,\n            Err(message) => return self.key_panicked(handle, message),'),
(I,'                if let Err(message) = key {','                if let Err(message) = key && !B("panic over a key not told of what is shed") {'),
('consumer/ordering.rs','        let Some(after) = away else {','        let Some(after) = away.filter(|_| !B("those behind a failed head go on")) else {'),
('consumer/ordering.rs','        let end = self.observing.now + after + lease;','        let end = self.observing.now + if B("failed head not waited for") { Duration::ZERO } else { after + lease };'),
('order.rs','        if is_head {\n            lane.head = Some(item);','        if is_head && is_back && B("head that is back goes last") && let Some(first) = lane.tail.pop_front() {\n            lane.head = Some(first);\n            lane.tail.push_back(item);\n        } else if is_head {\n            lane.head = Some(item);'),
('consumer/shedding.rs','            Some((first, until)) if first != id => return','            Some((first, until)) if first != id && !B("those behind one that was shed started") => return'),
('consumer/engine.rs','            drop_quietly(self.settings.observer.take());','            if !B("observer told after its panic") { drop_quietly(self.settings.observer.take()); }'),
('consumer/engine.rs','            self.fail(Failure::ObserverPanicked(panic_message(payload)));','            let message = panic_message(payload);\n            if !B("panic of the observer ignored") { self.fail(Failure::ObserverPanicked(message)); }'),
('consumer/intake.rs','        is_running && self.failure.is_none() && self','        is_running && (self.failure.is_none() || B("start after a failure")) && self'),
]
names=[];bad=0
for f,old,new in P:
    p=os.path.join(root,'core/src',f); s=open(p).read()
    if s.count(old)!=1:
        print('NOMATCH',s.count(old),f,old[:70].replace('\n','\\n')); bad+=1; continue
    new=re.sub(r'(?<![A-Za-z0-9_.])B\(', 'crate::bug(', new)
    names+=re.findall(r'crate::bug\("([^"]+)"\)', new)
    open(p,'w').write(s.replace(old,new))
open(os.path.join(root,'core/src/bug.rs'),'w').write('''//! Bugs for the simulation to find. They exist only where the build says `--cfg mayhem_bug`.

/// Whether the bug of this name is planted: the one that the environment names.
#[cfg(mayhem_bug)]
pub(crate) fn bug(name: &str) -> bool {
    static PLANTED: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    name == PLANTED.get_or_init(|| std::env::var("MAYHEM_BUG").unwrap_or_default())
}

/// There are none.
#[cfg(not(mayhem_bug))]
pub(crate) const fn bug(_name: &str) -> bool {
    false
}
''')
p=os.path.join(root,'core/src/lib.rs'); s=open(p).read()
if 'mod bug;' not in s:
    s=s.replace('mod broker;\n','mod broker;\nmod bug;\n',1)
    s=s.replace('pub use backoff::{Backoff, Jitter};','pub use backoff::{Backoff, Jitter};\npub(crate) use bug::bug;',1)
    open(p,'w').write(s)
print(len(names),'planted',bad,'unmatched')
sys.exit(1 if bad else 0)

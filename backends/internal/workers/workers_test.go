package workers

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

type taskFunc func()

func (f taskFunc) Run() { f() }

func (p *Pool) idling() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.idle)
}

func TestWorkersAreReusedAndEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := new(Pool)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for range 100 {
			if !p.Do(ctx, taskFunc(func() {})) {
				t.Fatal("not finished")
			}
		}
		if n := p.idling(); n != 1 {
			t.Errorf("%d workers for one caller", n)
		}
		var group sync.WaitGroup
		for range 50 {
			group.Go(func() { p.Do(ctx, taskFunc(func() { time.Sleep(time.Millisecond) })) })
		}
		group.Wait()
		if n := p.idling(); n != 50 {
			t.Errorf("%d workers for 50 callers", n)
		}
		// One caller keeps one of them; the others end.
		for range 100 {
			time.Sleep(reapInterval / 10)
			p.Do(ctx, taskFunc(func() {}))
		}
		synctest.Wait()
		if n := p.idling(); n != 1 {
			t.Errorf("%d workers are left for one caller", n)
		}
		time.Sleep(3 * reapInterval)
		synctest.Wait()
		if n := p.idling(); n != 0 { // and the bubble fails if one runs on
			t.Errorf("%d workers are left", n)
		}
	})
}

func TestWorkersLeaveWithTheCtx(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := new(Pool)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		var ran atomic.Bool
		if p.Do(ctx, taskFunc(func() { time.Sleep(time.Minute); ran.Store(true) })) || time.Since(begin) != time.Second {
			t.Errorf("finished, after %v", time.Since(begin))
		}
		if !p.Do(t.Context(), taskFunc(func() {})) {
			t.Error("a stuck worker holds up others")
		}
		p.Close()
		time.Sleep(time.Hour)
		if !ran.Load() || p.idling() != 0 {
			t.Errorf("ran %v, %d workers are left", ran.Load(), p.idling())
		}
	})
}

func TestATaskThatEndsItsGoroutineEndsItsCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := new(Pool)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		returned := false
		var group sync.WaitGroup
		group.Go(func() {
			p.Do(ctx, taskFunc(runtime.Goexit))
			returned = true
		})
		group.Wait()
		if returned || p.idling() != 0 {
			t.Errorf("returned %v, %d workers are left", returned, p.idling())
		}
		left, leave := context.WithTimeout(ctx, time.Second)
		defer leave()
		if p.Do(left, taskFunc(func() { time.Sleep(time.Minute); runtime.Goexit() })) {
			t.Error("finished")
		}
		time.Sleep(time.Hour)
		if !p.Do(ctx, taskFunc(func() {})) {
			t.Error("the next task was not finished")
		}
		p.Close()
	})
}

func TestWorkersRunInlineWithoutEnd(t *testing.T) {
	p := new(Pool)
	if !p.Do(context.Background(), taskFunc(func() {})) || p.idling() != 0 {
		t.Error("a worker was used for a ctx that can't end")
	}
}

func TestWorkersAllocateNothing(t *testing.T) {
	p := new(Pool)
	defer p.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var done Task = taskFunc(func() {})
	if n := testing.AllocsPerRun(1000, func() { p.Do(ctx, done) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

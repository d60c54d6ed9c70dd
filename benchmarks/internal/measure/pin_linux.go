package measure

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// Pin puts this process and others on one CPU, the first that this process may
// use, until restore is called.
func Pin(pids ...int) (restore func(), err error) {
	pids = append([]int{os.Getpid()}, pids...)
	var allowed, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return nil, fmt.Errorf("pin: %w", err)
	}
	for cpu := range 1024 {
		if allowed.IsSet(cpu) {
			one.Set(cpu)
			break
		}
	}
	procs := runtime.GOMAXPROCS(1)
	restore = func() {
		runtime.GOMAXPROCS(procs)
		for _, pid := range pids {
			_ = affine(pid, &allowed)
		}
	}
	for _, pid := range pids {
		if err := affine(pid, &one); err != nil {
			restore()
			return nil, fmt.Errorf("pin: %w", err)
		}
	}
	return restore, nil
}

// affine sets the affinity of every thread of a process; later ones inherit it.
func affine(pid int, set *unix.CPUSet) error {
	tasks, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
	if err != nil {
		return err
	}
	for _, task := range tasks {
		id, err := strconv.Atoi(task.Name())
		if err != nil {
			return err
		}
		if err := unix.SchedSetaffinity(id, set); err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

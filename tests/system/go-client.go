// A client in Go, by digitalocean/go-libvirt, which speaks the wire protocol itself: one guest's life, told line by line.
//
//	go-client SOCKET DEFINITION MARKER
//
// MARKER is what the guest says on its console when it is up.
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/digitalocean/go-libvirt"
	"github.com/digitalocean/go-libvirt/socket/dialers"
)

const patience = 120 * time.Second

func check(what string, err error) {
	if err != nil {
		fmt.Printf("%s: %v\n", what, err)
		os.Exit(1)
	}
}

// console keeps what a guest says, and tells when that holds a marker.
type console struct {
	lock   sync.Mutex
	said   bytes.Buffer
	marker []byte
	found  chan struct{}
	once   sync.Once
}

func (c *console) Write(data []byte) (int, error) {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.said.Write(data)
	if bytes.Contains(c.said.Bytes(), c.marker) {
		c.once.Do(func() { close(c.found) })
	}
	return len(data), nil
}

func await(what string, happened <-chan struct{}) {
	select {
	case <-happened:
	case <-time.After(patience):
		check(what, fmt.Errorf("not within %v", patience))
	}
}

func awaitEvent(events <-chan libvirt.DomainEventLifecycleMsg, name string, wanted libvirt.DomainEventType) {
	for {
		select {
		case event := <-events:
			if event.Dom.Name == name && libvirt.DomainEventType(event.Event) == wanted {
				fmt.Printf("event %d\n", event.Event)
				return
			}
		case <-time.After(patience):
			check(fmt.Sprintf("event %d", wanted), fmt.Errorf("not within %v", patience))
		}
	}
}

// awaitMonitor waits for an event that carries data; the library drops those that carry none, as STOP.
func awaitMonitor(events <-chan libvirt.DomainEvent, wanted string) {
	for {
		select {
		case event := <-events:
			if event.Event == wanted {
				fmt.Println("monitor event", event.Event, strings.Contains(string(event.Details), `"guest":false`))
				return
			}
		case <-time.After(patience):
			check("monitor event "+wanted, fmt.Errorf("not within %v", patience))
		}
	}
}

func names(virt *libvirt.Libvirt) string {
	flags := libvirt.ConnectListDomainsActive | libvirt.ConnectListDomainsInactive
	domains, _, err := virt.ConnectListAllDomains(1, flags)
	check("list", err)
	var all []string
	for _, domain := range domains {
		all = append(all, domain.Name)
	}
	return strings.Join(all, ",")
}

func state(virt *libvirt.Libvirt, domain libvirt.Domain) {
	now, _, err := virt.DomainGetState(domain, 0)
	check("state", err)
	fmt.Printf("state %d\n", now)
}

// live has the guest's whole life.
func live(virt *libvirt.Libvirt, definition []byte, marker string) {
	ctx, cancel := context.WithCancel(context.Background())
	events, err := virt.LifecycleEvents(ctx)
	check("events", err)
	domain, err := virt.DomainDefineXML(string(definition))
	check("define", err)
	awaitEvent(events, domain.Name, libvirt.DomainEventDefined)
	fmt.Println("list", names(virt))
	check("create", virt.DomainCreate(domain))
	awaitEvent(events, domain.Name, libvirt.DomainEventStarted)
	state(virt, domain)

	screen := &console{marker: []byte(marker), found: make(chan struct{})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		check("console", virt.DomainOpenConsole(domain, nil, screen, 0))
	}()
	await("console", screen.found)
	fmt.Println("console heard")

	answer, err := virt.Run(domain.Name, []byte(`{"execute":"query-status"}`))
	check("monitor", err)
	fmt.Println("monitor", strings.Contains(string(answer), `"status":"running"`))
	monitor, err := virt.SubscribeQEMUEvents(ctx, domain.Name)
	check("events of QEMU", err)
	check("suspend", virt.DomainSuspend(domain))
	awaitEvent(events, domain.Name, libvirt.DomainEventSuspended)
	state(virt, domain)
	check("resume", virt.DomainResume(domain))
	awaitEvent(events, domain.Name, libvirt.DomainEventResumed)
	check("reset", virt.DomainReset(domain, 0))
	awaitMonitor(monitor, "RESET")
	check("destroy", virt.DomainDestroy(domain))
	awaitEvent(events, domain.Name, libvirt.DomainEventStopped)
	await("end of the console", ended)
	fmt.Println("console ended")
	check("undefine", virt.DomainUndefine(domain))
	awaitEvent(events, domain.Name, libvirt.DomainEventUndefined)
	_, err = virt.DomainLookupByName(domain.Name)
	fmt.Println("gone", libvirt.IsNotFound(err))
	cancel()
}

func main() {
	definition, err := os.ReadFile(os.Args[2])
	check("definition", err)
	virt := libvirt.NewWithDialer(dialers.NewLocal(dialers.WithSocket(os.Args[1])))
	check("connect", virt.ConnectToURI("qemu:///system"))
	host, err := virt.ConnectGetHostname()
	check("hostname", err)
	fmt.Println("host", host)
	live(virt, definition, os.Args[3])
	check("disconnect", virt.Disconnect())
	fmt.Println("done")
}

package session

import "strings"

// label says in a few words on what somebody signed in, so that they know it again in a list: the browser and the system that
// it says it runs on. What says nothing known is called by its own first word.
func (a arrival) label() string {
	// Browsers name their ancestors too, so that the first that is found is the youngest.
	browser := first(a.agent, [][2]string{
		{"Edg/", "Edge"}, {"EdgA/", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"}, {"FxiOS/", "Firefox"}, {"Firefox/", "Firefox"},
		{"CriOS/", "Chrome"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"},
	})
	system := first(a.agent, [][2]string{
		{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"Windows", "Windows"}, {"CrOS", "ChromeOS"}, {"Mac OS X", "Mac"}, {"Linux", "Linux"},
	})
	switch {
	case browser != "" && system != "":
		return browser + " on " + system
	case browser+system != "":
		return browser + system
	}
	name, _, _ := strings.Cut(a.agent, "/")
	name, _, _ = strings.Cut(name, " ")
	return name
}

func first(text string, marks [][2]string) string {
	for _, m := range marks {
		if strings.Contains(text, m[0]) {
			return m[1]
		}
	}
	return ""
}

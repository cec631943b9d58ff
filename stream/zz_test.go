package stream_test
import ("testing";"time";"sync";"hale/stream";"hale/vital")
func TestZZThroughput(t *testing.T){
 s := startServer(t, stream.ServerConfig{MaxBytes: 8<<30}); c:=connect(t,s); st:=ensure(t,c,8<<30); p:=st.Publisher(stream.PublisherConfig{})
 recs := make([]vital.Record, 100); for i := range recs { recs[i].Reading = sample(i) }
 start:=time.Now(); var wg sync.WaitGroup; const each=1000
 for part := range 8 { wg.Go(func(){ for range each { if err:=p.Publish(t.Context(),part,vital.Live,recs);err!=nil{t.Error(err)} } })
  r:=reader(t,st,part,vital.Live,0); wg.Go(func(){ n:=0; for n<each { es,err:=r.Next(t.Context(),4000); if err!=nil{t.Error(err);return}; n+=len(es)} }) }
 wg.Wait(); d:=time.Since(start); t.Logf("%d readings in %s: %.0f/s", 8*each*100, d, float64(8*each*100)/d.Seconds())
 // latency
 r:=reader(t,st,0,vital.Late,0); var worst, sum time.Duration
 for i:=range 500 { b:=time.Now(); publish(t,p,0,vital.Late,i); numbers(t,r,1); d:=time.Since(b); sum+=d; worst=max(worst,d) }
 t.Logf("publish to Next mean %s worst %s", sum/500, worst)
}

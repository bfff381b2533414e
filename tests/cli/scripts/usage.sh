# What cannot be meant is exit code 2, and nothing is read or written.
cp photo.png photo.ppm
cp photo.png other.png
bbcodec compress photo.png photo.ppm || echo "exit $?"
bbcodec compress --output-dir out ./photo.png photo.png || echo "exit $?"
bbcodec compress -o both.bb photo.png other.png || echo "exit $?"
bbcodec compress -c photo.png other.png || echo "exit $?"
bbcodec compress -c -o photo.bb photo.png || echo "exit $?"
bbcodec compress - - || echo "exit $?"
bbcodec compress -c --rm photo.png || echo "exit $?"
bbcodec compress --rm --no-verify photo.png || echo "exit $?"
bbcodec compress -c --json photo.png || echo "exit $?"
bbcodec compress --method classic --embed-model photo.png || echo "exit $?"
bbcodec compress --method classic --fit 1 photo.png || echo "exit $?"
bbcodec compress --fast --model photo photo.png || echo "exit $?"
bbcodec compress --fast --method classic photo.png || echo "exit $?"
bbcodec compress --fit 1 --model rvae photo.png || echo "exit $?"
bbcodec compress --fit 0 photo.png || echo "exit $?"
bbcodec compress --method best photo.png 2>/dev/null || echo "exit $?"
bbcodec compress -T -1 photo.png 2>/dev/null || echo "exit $?"
bbcodec compress 2>/dev/null || echo "exit $?"
bbcodec squeeze photo.png 2>/dev/null || echo "exit $?"
ls -A

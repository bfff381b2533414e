# Standard input and output.
cat photo.png | bbcodec compress - -c | bbcodec decompress - -c >piped.png
same photo.png piped.png && echo same
bbcodec compress -o - photo.png | cat >piped.bb
bbcodec test piped.bb
bbcodec test - <piped.bb
bbcodec info - <piped.bb | head -n 2
bbcodec compress -q -o named.bb - <photo.png
cmp piped.bb named.bb && echo equal
bbcodec decompress --format webp - <named.bb >piped.webp
same photo.png piped.webp && echo same
echo text | bbcodec decompress - || echo "exit $?"
bbcodec compress - </dev/null || echo "exit $?"
ls -A
